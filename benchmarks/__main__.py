"""``python -m benchmarks COMMAND``: lamina compared with its peers."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from benchmarks import measure

COMMANDS = (
    "speed",
    "accuracy",
    "default",
    "network",
    "distillation",
    "automl",
    "population",
    "tuning",
    "images",
    "adding",
    "needle",
    "verdicts",
    "again",
    "leaks",
    "trust",
    "forest",
    "memory",
    "resume",
    "gpu",
    "beside",
    "labels",
    "calendar",
    "readings",
)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["job"]:  # a subprocess started by measure.run
        module, function = arguments[1].split(":")
        result = getattr(importlib.import_module(module), function)(**json.loads(arguments[2]))
        print("\n" + json.dumps({**result, "peak_mib": measure.peak_mib()}))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="lamina beside its peers, measured in one run.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"benchmarks.{name}")
        summary = module.__doc__.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.options(command)
        command.set_defaults(main=module.main)
    options = parser.parse_args(arguments)
    options.main(options)


if __name__ == "__main__":
    main(sys.argv[1:])
