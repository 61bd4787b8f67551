"""``lamina.fit``, ``lamina.compare``, ``lamina.load``, ``lamina.resume``: the calls that a person types first."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from lamina import store
from lamina.data.folder import SPLIT
from lamina.data.frames import literal
from lamina.data.read import read_table
from lamina.data.rowhash import check_comparable
from lamina.errors import LaminaError, OptionError, RunError
from lamina.estimators import ESTIMATORS, Classifier, Regressor
from lamina.learn import Settings, fingerprint, learn
from lamina.model import Model
from lamina.train.callbacks import Callback
from lamina.train.events import End, Monitor, StopReason
from lamina.train.loop import Edit
from lamina.train.recipe import Recipe
from lamina.train.run import DATA, Run, replacing

if TYPE_CHECKING:
    from lamina.comparison import compare as comparison
    from lamina.comparison.board import Board

ROLES = ("group", "time", "weight", "split")
_ASKED = tuple(
    field.name for field in dataclasses.fields(Settings) if field.name not in ("targets", "roles", "family", "recipe", "fewest")
)


def fit(
    data: Any,
    target: str | list[str] | None = None,
    *,
    family: Any = "auto",
    recipe: Recipe | None = None,
    run: str | Path | None = None,
    monitor: Monitor | str | None = "auto",
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
    **asked: Any,
) -> Classifier | Regressor:
    """Learn to tell one column (or several numbers) of a table from the others.

    Args:
        data: A CSV, TSV, Parquet, Arrow or JSON Lines file (also .gz), a folder with a folder of images or texts for each
            class, an .npz archive, a frame of any library, or a dict of columns (arrays, texts, lists of arrays).
        target: The column to be told, or several columns of numbers; for class folders it may be left out.
        family: Which networks: "auto", a name, or a family with its options.
        recipe: How to train.
        run: A folder for events and checkpoints, so that ``lamina.resume`` can go on after whatever ends the process.
        monitor: Called with each event (:mod:`lamina.callbacks`); "auto" shows a progress bar where a person is looking, None
            shows nothing.
        callbacks: Called when training starts, after steps and epochs, and at the end; may stop training.
        edit: Called before each epoch with its number and the net; a graph that it returns becomes the network's topology, and
            the weights that still fit are kept. For networks only.
        **asked: ``task`` ("classification" or "regression"), ``kinds``, ``validation`` (a share), ``class_weight``, ``device``,
            ``seed``; the columns ``group``, ``time``, ``weight``, ``split``; ``drop``, a list of columns to leave aside;
            ``unique``, to leave out rows that are there already.

    Returns:
        A fitted :class:`~lamina.Classifier` or :class:`~lamina.Regressor`.

    Raises:
        DataError: The data cannot be learnt from; the message names the file, column or row and the remedy.
        OptionError: An option is unknown or out of bounds.
        RunError: The run folder cannot be used.

    Example:
        >>> import lamina
        >>> rows = {"x": [i / 100 for i in range(300)], "y": [i / 50 + 1 for i in range(300)]}
        >>> model = lamina.fit(rows, "y", recipe=lamina.Recipe(epochs=40), seed=0)
        >>> model.evaluate(rows)["scores"]["r2"] > 0.9
        True
    """
    table = read_table(data)
    settings = ask(target_of(data, target), family=family, recipe=recipe, **folder_roles(data, table, asked))
    folder = None
    if run is not None:
        folder = start_run(run, data, table, settings)
    return finish(table, settings, run=folder, monitor=monitor, callbacks=callbacks, edit=edit)


def compare(
    data: Any,
    target: str | list[str] | None = None,
    *,
    families: Any = "auto",
    recipe: Recipe | None = None,
    run: str | Path | None = None,
    monitor: Monitor | str | None = "auto",
    **asked: Any,
) -> Board:
    """Is deep learning worth it on these data? Deep and classical families on the very same folds, and a verdict in words.

    Each candidate learns from the training rows of a fold, preprocessing included, in a process of its own, and is asked about
    the others. The verdict weighs the differences fold by fold, corrected for training sets that overlap (Nadeau & Bengio 2003;
    Benavoli et al. 2017); a tie goes to the simpler model. What is taken then learns from all rows.

    Args:
        data: As for :func:`fit`.
        target: As for :func:`fit`.
        families: "auto" for all classical families that are there and the network that suits the columns; or names and
            families in a list; or a dict of them by the name they are to have on the board.
        recipe: How networks train.
        run: A folder for what is done; :func:`resume` or the same call goes on with it. None keeps nothing.
        monitor: As for :func:`fit`.
        **asked: ``folds`` (5), ``repeats`` (1), ``metric``, ``rope`` (the smallest difference that matters), ``time_limit``
            (seconds for one fit), ``memory_limit`` (gigabytes for one process), ``workers``; and all that :func:`fit` takes.

    Returns:
        The board: ``board.verdict.words`` says it, ``board.to_frame()`` shows it, ``board.model`` is what to take.

    Raises:
        DataError: The data cannot be compared on; the message names the column or class and the remedy.
        OptionError: An option is unknown or out of bounds.
        RunError: The run folder cannot be used, or holds another comparison.

    Example:
        >>> import lamina
        >>> table = {"x": [i / 100 for i in range(200)], "y": ["low"] * 100 + ["high"] * 100}
        >>> board = lamina.compare(table, "y", families=["constant", "linear"], folds=3, monitor=None)
        >>> board.verdict.call, board.model.predict({"x": [0.1]}).tolist()
        ('wins', ['low'])
    """
    from lamina.comparison import compare as comparison

    if run is None:
        with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
            return compare(data, target, families=families, recipe=recipe, run=folder, monitor=monitor, **asked)
    table = read_table(data)
    fields = {field.name for field in dataclasses.fields(comparison.Terms)}
    terms = comparison.Terms(**{name: value for name, value in asked.items() if name in fields}).check()
    asked = {"seed": 0, **{name: value for name, value in asked.items() if name not in fields}}
    settings = ask(target_of(data, target), recipe=recipe, **folder_roles(data, table, asked))
    question = comparison.question(families, table, settings, terms)
    if (Path(run) / "run.json").exists():
        folder = Run.open(run)
        comparison.check_same(folder, {**question, "asked": settings.to_json()}, fingerprint(table))
        return finish_comparison(table, settings, families=families, terms=terms, run=folder, monitor=monitor)
    folder = start_run(run, data, table, settings, verb="compare", **{**terms.to_json(), **question}, threads=terms.threads)
    try:
        return finish_comparison(table, settings, families=families, terms=terms, run=folder, monitor=monitor)
    except LaminaError:
        if not folder.events():  # refused before anything was asked: there is nothing to go on with
            shutil.rmtree(folder.folder)
        raise


def target_of(data: Any, target: str | list[str] | None) -> str | list[str]:
    """What is to be told; a folder of class folders says so itself.

    Raises:
        OptionError: Nobody said.
    """
    if target is not None and (target or _is_number(target)):
        return target
    if (path := _path(data)) and path.is_dir():
        return "label"
    raise OptionError("nobody said what is to be told; name a column: target='income' (in the command line --target income)")


def folder_roles(data: Any, table: pl.DataFrame, asked: dict[str, Any]) -> dict[str, Any]:
    """What is asked for, with the split that a folder or an archive with train and test parts says by itself.

    Where a person asks for another split the column of parts is left aside: it is nothing to learn from.
    """
    if _path(data) is None or table.schema.get("split") != SPLIT:
        return asked
    others = {asked.get(role) for role in ("group", "time", "split")} - {None}
    if not others:
        return {**asked, "split": "split"}
    return asked if "split" in others else {**asked, "drop": [*(asked.get("drop") or ()), "split"]}


def _path(data: Any) -> Path | None:
    """The whole path of a file or folder; None for what is held in memory."""
    return Path(os.path.abspath(os.path.expanduser(data))) if isinstance(data, str | os.PathLike) else None


def ask(target: str | list[str], *, family: Any = "auto", recipe: Recipe | None = None, **asked: Any) -> Settings:
    """Settings from the words of :func:`fit`."""
    roles = {_name(asked.pop(role)): role for role in ROLES if asked.get(role) is not None}
    roles.update({_name(name): "ignored" for name in asked.pop("drop", None) or ()})
    asked = {name: value for name, value in asked.items() if name not in ROLES}
    for name in asked:
        if name not in _ASKED:
            near = difflib.get_close_matches(name, (*_ASKED, *ROLES, "drop"), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join((*_ASKED, *ROLES, "drop"))
            raise OptionError(f"fit has no option {name!r}; {hint}")
    if asked.get("seed") is None:
        asked["seed"] = int(np.random.SeedSequence().entropy % 2**31)  # pyright: ignore[reportOperatorIssue]
    asked["kinds"] = {_name(name): kind for name, kind in dict(asked.get("kinds") or {}).items()}
    targets = (_name(target),) if isinstance(target, str) or _is_number(target) else tuple(map(_name, target))
    return Settings(targets=targets, roles=roles, family=family, recipe=recipe or Recipe(), **asked)


def _is_number(name: Any) -> bool:
    return isinstance(name, int | np.integer) and not isinstance(name, bool)


def _name(name: Any) -> Any:
    """A column's name as :func:`~lamina.data.read.read_table` gives it: pandas may call columns 0, 1, 2."""
    name = str(name) if _is_number(name) else name
    return literal(name) if isinstance(name, str) else name


def load(path: str | Path, device: str = "cpu") -> Classifier | Regressor:
    """Load a ``.lamina`` file: a fitted estimator that answers bit by bit as it did when it was saved.

    Raises:
        ModelFileError: There is no such file, it is none of lamina's, it is damaged, or a newer lamina wrote it.
    """
    return estimator(store.load(path, device))


def resume(
    run: str | Path,
    *,
    monitor: Monitor | str | None = "auto",
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
) -> Classifier | Regressor | Board:
    """Resume a fit or a comparison that was ended by Ctrl-C, a crash, a full disk or a lost machine.

    On a CPU it ends with the very weights that it would have ended with undisturbed. A finished run is loaded. Everything is
    written in the folder that is given here, wherever it was when the run began. Callbacks and ``edit`` are functions, which no
    file keeps: give them again.

    Args:
        run: The folder of the run.
        monitor: As for :func:`fit`.
        callbacks: As for :func:`fit`; a comparison takes none.
        edit: As for :func:`fit`; a comparison takes none.

    Returns:
        The fitted estimator of a fit; the board of a comparison, with the model that it recommends.

    Raises:
        RunError: There is no run in the folder, it is damaged, or its data are gone or changed.

    Example:
        >>> import lamina
        >>> table = {"x": [i / 100 for i in range(200)], "y": ["low"] * 100 + ["high"] * 100}
        >>> folder = getfixture("tmp_path") / "run"
        >>> board = lamina.compare(table, "y", families=["constant", "linear"], folds=3, run=folder, monitor=None)
        >>> lamina.resume(folder).verdict.take
        'linear'
    """
    folder = Run.open(run)
    if folder.finished:
        fitted = estimator(store.load(folder.model_path))
        if folder.verb == "fit":
            return fitted
        from lamina.comparison.board import load_board

        return dataclasses.replace(load_board(folder), model=fitted)
    path = folder.data_path
    if not path.exists():
        raise RunError(f"the data of this run are gone: {path}; put the file back, or {folder.verb} again")
    table = read_table(path)
    stored = str(folder.settings["data"].get("fingerprint"))
    check_comparable(stored, folder.folder)
    if fingerprint(table) != stored:
        raise RunError(f"{path} has changed since the run began; put the old file back, or {folder.verb} again")
    try:
        settings = Settings.from_json(folder.settings["asked"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise folder.damaged(f"its settings: {error}") from error
    if folder.verb == "fit":
        return finish(table, settings, run=folder, monitor=monitor, callbacks=callbacks, edit=edit)
    if callbacks or edit:
        raise OptionError(f"{folder.folder} holds a comparison, whose fits take no callbacks and no edit; leave them out")
    from lamina.comparison import compare as comparison

    families, terms = comparison.candidates_of(folder), comparison.terms_of(folder)
    return finish_comparison(table, settings, families=families, terms=terms, run=folder, monitor=monitor)


def start_run(folder: str | Path, data: Any, table: pl.DataFrame, settings: Settings, *, verb: str = "fit", **more: Any) -> Run:
    """Begin a run, with all that is needed to go on with it: a path to the data, or a copy of them."""
    source: dict[str, Any] = {"fingerprint": fingerprint(table)}
    if path := _path(data):
        source["path"] = os.fspath(path)
    else:
        source["copy"] = DATA
    run = Run.create(folder, {"verb": verb, "data": source, "asked": settings.to_json(), **more})
    if "copy" in source:
        try:
            with replacing(run.data_path) as path:
                table.write_ipc(path, compression="zstd")
        except OSError as error:
            raise RunError(
                f"cannot write in the run folder {folder}: {error.strerror or error}; make room or choose another"
            ) from error
    return run


def finish(
    table: pl.DataFrame,
    settings: Settings,
    *,
    run: Run | None = None,
    monitor: Any = None,
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
) -> Classifier | Regressor:
    """Learn, and leave the model in the run's folder."""

    def save(model: Model) -> Path:
        assert run is not None
        return store.save(model, run.model_path)

    with watching(monitor) as watch:
        model = learn(table, settings, run=run, monitor=watch, callbacks=callbacks, edit=edit, save=save if run else None)
    return estimator(model)


def finish_comparison(
    table: pl.DataFrame, settings: Settings, *, families: Any, terms: comparison.Terms, run: Run, monitor: Any = None
) -> Board:
    """Compare, and leave the board and the recommended model in the run's folder."""
    from lamina.comparison import board as boards
    from lamina.comparison import compare as comparison

    with watching(monitor) as watch:
        board, model = comparison.compare(table, settings, families=families, terms=terms, run=run, monitor=watch)
    boards.save_board(board, run)
    interrupted = not board.complete or (model is not None and model.card["stopped"] == StopReason.INTERRUPTED)
    if model is None or interrupted:
        if interrupted:
            run.write(End(StopReason.INTERRUPTED))
        return board
    store.save(model, run.model_path)
    run.write(End(StopReason.FITTED))
    return dataclasses.replace(board, model=estimator(model))


@contextlib.contextmanager
def watching(monitor: Any) -> Iterator[Any]:
    """What is called with each event: a progress bar for "auto", else what was given."""
    if monitor != "auto":
        yield monitor
        return
    from lamina.progress import progress

    with progress() as bar:
        yield bar


def estimator(model: Model) -> Classifier | Regressor:
    """The estimator that holds a model."""
    return ESTIMATORS[model.task.name](family=model.family)._adopt(model)
