"""``lamina info``: the card of a model, or how a run stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lamina.cli.shared import Debug, Json, print_json, waiting


def info(
    what: Annotated[Path, typer.Argument(metavar="MODEL", help="A .lamina file, or the folder of a run.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what a model tells, from which columns, how well, and how it came about.

    [bold]lamina info income.lamina[/bold]
    """
    if (what / "run.json").exists():
        _run(what, as_json)
        return
    with waiting(f"reading {what}"):
        from lamina import store
        from lamina.cli.render import card, show_card

        model = store.load(what)
    if as_json:
        print_json({"model": str(what), **card(model), **model.predictor.to_json()})
    else:
        show_card(model, what)


def _run(folder: Path, as_json: bool) -> None:
    from lamina.cli.render import show_run
    from lamina.train.run import Run

    run = Run.open(folder)
    events = run.events()
    epochs = [event for event in events if event["event"] == "epoch"]
    ended = bool(events) and events[-1]["event"] == "stopped"
    state = "finished" if run.finished else "ended by Ctrl-C" if ended else "not finished"
    about: dict[str, Any] = {
        "run": str(folder),
        "state": state,
        "targets": run.settings["asked"]["targets"],
        "data": run.settings["data"].get("path", "a copy in the run folder"),
        "epochs": len(epochs),
        "model": str(run.model_path) if run.model_path.exists() else None,
    }
    if as_json:
        print_json({**about, "asked": run.settings["asked"], "history": epochs})
    else:
        show_run(about, epochs)
