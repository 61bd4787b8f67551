"""lamina and its peers, measured in one run: ``python -m benchmarks --help``.

Run by hand from the repository root, with the peers installed (``pip install -e .[bench]``) and nothing else running.
The docstring of each module describes its measurements; the numbers are in ``benchmarks/results``.
"""
