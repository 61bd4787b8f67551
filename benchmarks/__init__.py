"""lamina beside its peers, measured in one run: ``python -m benchmarks --help``.

Run by hand from the repository root, with the peers installed (``pip install -e .[bench]``) and nothing else running.
What is measured, and how, stands in the docstring of each module; the numbers are committed in ``benchmarks/results``.
"""
