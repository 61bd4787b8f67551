"""``lamina info``: the summary of a model, or the state of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lamina.cli.options import Debug, Json
from lamina.cli.shared import print_json, waiting


def info(
    path: Annotated[Path, typer.Argument(metavar="MODEL", help="A .lamina file, or the folder of a run.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the columns, scores and training of a model, or the state of a run.

    [bold]lamina info income.lamina[/bold]
    """
    if (path / "run.json").exists():
        _run(path, as_json)
        return
    with waiting(f"reading {path}"):
        from lamina import store
        from lamina.cli.render import card, show_card

        model = store.load(path)
    if as_json:
        print_json({"model": str(path), **card(model), **model.predictor.to_json()})
    else:
        show_card(model, path)


def _run(folder: Path, as_json: bool) -> None:
    """Print the state and the results of a run; nothing is computed."""
    from lamina.cli.render import show_run
    from lamina.train.events import Compare, End, Epoch, Trial
    from lamina.train.run import BOARD, TUNING, Run

    run = Run.open(folder)
    events, source = run.events(), run.data_path
    state = "finished" if run.finished else "ended by Ctrl-C" if run.state == "interrupted" else "not finished"
    epochs = [event.values() for event in events if isinstance(event, Epoch)]
    scores = next((event.scores for event in reversed(events) if isinstance(event, End)), {})
    comparison, tuning = run.verb == "compare", run.verb == "tune"
    about: dict[str, Any] = {
        "run": str(folder),
        "verb": run.verb,
        "state": state,
        "targets": run.targets,
        "data": "a copy in the run folder" if source.parent == run.folder else str(source),
        "model": str(run.model_path) if run.model_path.exists() and (run.finished or not comparison) else None,
        "scores": dict(scores),
    }
    board = result = None
    if comparison:
        from lamina.comparison.board import load_board
        from lamina.comparison.compare import candidates_of
        from lamina.comparison.runner import results

        names = list(candidates_of(run))
        folds = next((event.folds for event in reversed(events) if isinstance(event, Compare)), None)
        finished = [result for result in results(run) if result["name"] in names]
        about |= {"candidates": names, "done": len(finished), "fits": None if folds is None else folds * len(names)}
        board = load_board(run) if (folder / BOARD).exists() else None
    elif tuning:
        from lamina.tuning.results import load_tuning

        ended = [event for event in events if isinstance(event, Trial)]
        last = ended[-1] if ended else None
        about |= {"done": last.number + 1 if last else 0, "trials": run.settings["trials"], "best": last.best if last else None}
        result = load_tuning(run) if (folder / TUNING).exists() else None
    else:
        about["epochs"] = len(epochs)
    if as_json:
        more = {"board": None if board is None else board.to_json()} if comparison else {"history": epochs}
        more = {"tuning": None if result is None else result.to_json()} if tuning else more
        print_json({**about, "settings": run.settings["asked"], **more})
        return
    show_run(about, [] if comparison or tuning else epochs)
    if result is not None:
        from lamina.cli.tune import show_tuning

        show_tuning(result)
        print()
    if board is not None:
        from lamina.cli.board import show_findings

        show_findings(board)
        print()
