"""``lamina.fit``, ``lamina.compare``, ``lamina.load``, ``lamina.resume``: the calls that a person types first."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from lamina import store
from lamina.data.folder import SPLIT
from lamina.data.read import read_table
from lamina.data.rowhash import check_comparable, fingerprint
from lamina.errors import LaminaError, OptionError, RunError
from lamina.estimators import Classifier, Regressor, estimator
from lamina.families import Auto, Family
from lamina.fitting.settings import SPLITTERS, Interventions, Recording, Settings
from lamina.learn import choose_device, learn
from lamina.model import Model
from lamina.options import known_options, shortened
from lamina.train.callbacks import Callback
from lamina.train.events import End, Monitor, StopReason
from lamina.train.loop import Edit
from lamina.train.recipe import Recipe
from lamina.train.run import DATA, Run, replacing

if TYPE_CHECKING:
    from lamina.comparison.board import Board
    from lamina.comparison.terms import Terms


@known_options
def fit(
    data: Any,  # a frame of any library
    target: str | list[str] | tuple[str, ...] | None = None,
    *,
    task: str | None = None,
    kinds: Mapping[str, str] | None = None,
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    weight: str | None = None,
    drop: list[str] | tuple[str, ...] | None = None,
    unique: bool = False,
    validation: float = 0.15,
    class_weight: Mapping[Any, float] | str | None = None,
    family: Family | Auto | str = "auto",
    recipe: Recipe | None = None,
    device: str = "auto",
    seed: int | None = 0,
    trust: bool = True,
    run: str | Path | None = None,
    monitor: Monitor | str | None = "auto",
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
) -> Classifier | Regressor:
    """Fit a model that predicts one column of a table, or several, from the others.

    Args:
        data: A CSV, TSV, Parquet, Arrow or JSON Lines file (also .gz), a folder with a folder of images or texts for each
            class, an .npz archive, a frame of any library, or a dict of columns (arrays, texts, lists of arrays).
        target: The column to predict, or several columns of numbers or of yes and no; for class folders it may be left out.
        task: "classification", "regression" or "multilabel"; None decides from the target.
        kinds: Kinds of columns that you know better, ``{"zip": "category"}``.
        group: A column whose rows of one value stay on one side of the split.
        time: A column of times: the latest rows are the validation rows.
        split: A column that says which rows are validation rows.
        weight: A column that says how much each row counts.
        drop: Columns to ignore.
        unique: Leave out duplicates of rows.
        validation: Share of the rows that are kept for validation.
        class_weight: "balanced", weights by class, or None.
        family: Which model: "auto", a name, or a family with its options.
        recipe: How to train a network; None is ``Recipe()``.
        device: "auto" takes a GPU where there is one; "cpu", "cuda", ...
        seed: Everything random follows from it; None draws one.
        trust: Keep what ``predict(X, trust=True)`` needs, some training rows among it.
        run: A folder for events and checkpoints, so that ``lamina.resume`` can resume after whatever ended the process.
        monitor: Called with each event (:mod:`lamina.callbacks`); "auto" shows a progress bar where a person is looking, None
            shows nothing.
        callbacks: Called when training starts, after steps and epochs, and at the end; may stop training.
        edit: Called before each epoch with its number and the net; a graph that it returns becomes the network's topology, and
            the weights that still fit are kept. For networks only.

    Returns:
        A fitted :class:`~lamina.Classifier` or :class:`~lamina.Regressor` that carries these options.

    Raises:
        DataError: The data cannot be learnt from; the message names the file, column or row and the remedy.
        OptionError: An option is unknown, of the wrong type, out of bounds, or contradicts another.
        RunError: The run folder cannot be used.

    Example:
        >>> import lamina
        >>> rows = {"x": [i / 100 for i in range(300)], "y": [i / 50 + 1 for i in range(300)]}
        >>> model = lamina.fit(rows, "y", recipe=lamina.Recipe(epochs=40), seed=0)
        >>> model.evaluate(rows)["scores"]["r2"] > 0.9
        True
    """
    recording = Recording(run=run, monitor=monitor).check()
    Interventions(callbacks, edit).check()
    settings = Settings(
        target_of(data, target),
        task=task,
        kinds=kinds,
        group=group,
        time=time,
        split=split,
        weight=weight,
        drop=drop,
        unique=unique,
        validation=validation,
        class_weight=class_weight,
        family=family,
        recipe=recipe,  # pyright: ignore[reportArgumentType]  (None is the default recipe there)
        device=device,
        seed=seed,  # pyright: ignore[reportArgumentType]  (None is a random seed there)
        trust=trust,
    ).check()
    table = read_table(data)
    settings = with_parts(settings, data, table)
    folder = None if recording.run is None else start_run(recording.run, data, table, settings)
    return finish(table, settings, run=folder, monitor=monitor, callbacks=callbacks, edit=edit)


@known_options
def compare(
    data: Any,  # a frame of any library
    target: str | list[str] | tuple[str, ...] | None = None,
    *,
    families: Family | Auto | str | Sequence[Family | Auto | str] | Mapping[str, Family | Auto | str] = "auto",
    folds: int = 5,
    repeats: int | str = "auto",
    metric: str = "auto",
    rope: float | None = None,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    workers: int | None = None,
    task: str | None = None,
    kinds: Mapping[str, str] | None = None,
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    weight: str | None = None,
    drop: list[str] | tuple[str, ...] | None = None,
    unique: bool = False,
    validation: float = 0.15,
    class_weight: Mapping[Any, float] | str | None = None,
    recipe: Recipe | None = None,
    device: str = "auto",
    seed: int | None = 0,
    trust: bool = True,
    run: str | Path | None = None,
    monitor: Monitor | str | None = "auto",
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
        folds: Parts that the rows are dealt into.
        repeats: Times that the rows are dealt anew; "auto" is 3, 2 from 5,000 rows on, 1 from 20,000 rows on.
        metric: What candidates are compared by.
        rope: The smallest difference that matters, in the metric's units.
        time_limit: Seconds that one fit may take.
        memory_limit: Gigabytes that one process may take.
        workers: Processes side by side; None is one for each core.
        task: As for :func:`fit`, and so are all the others.
        kinds: As for :func:`fit`.
        group: As for :func:`fit`; the rows of one group stay in one fold.
        time: As for :func:`fit`; folds run from the past to the future.
        split: As for :func:`fit`; there is one fold then.
        weight: As for :func:`fit`.
        drop: As for :func:`fit`.
        unique: As for :func:`fit`.
        validation: As for :func:`fit`.
        class_weight: As for :func:`fit`.
        recipe: How networks train.
        device: As for :func:`fit`.
        seed: As for :func:`fit`.
        trust: As for :func:`fit`.
        run: A folder for what is done; :func:`resume` or the same call goes on with it. None keeps nothing.
        monitor: As for :func:`fit`.

    Returns:
        The board: ``board.verdict.words`` says it, ``board.to_frame()`` shows it, ``board.model`` is what to take.

    Raises:
        DataError: The data cannot be compared on; the message names the column or class and the remedy.
        OptionError: An option is unknown, of the wrong type, out of bounds, or contradicts another.
        RunError: The run folder cannot be used, or holds another comparison.

    Example:
        >>> import lamina
        >>> table = {"x": [i / 100 for i in range(200)], "y": ["low"] * 100 + ["high"] * 100}
        >>> board = lamina.compare(table, "y", families=["constant", "linear"], folds=3, monitor=None)
        >>> board.verdict.call, board.model.predict({"x": [0.1]}).tolist()
        ('wins', ['low'])
    """
    from lamina.comparison.terms import Terms

    recording = Recording(run=run, monitor=monitor).check()
    terms = Terms(
        families=families,
        folds=folds,
        repeats=repeats,
        metric=metric,
        rope=rope,
        time_limit=time_limit,
        memory_limit=memory_limit,
        workers=workers,
    ).check()
    settings = Settings(
        target_of(data, target),
        task=task,
        kinds=kinds,
        group=group,
        time=time,
        split=split,
        weight=weight,
        drop=drop,
        unique=unique,
        validation=validation,
        class_weight=class_weight,
        recipe=recipe,  # pyright: ignore[reportArgumentType]  (None is the default recipe there)
        device=device,
        seed=seed,  # pyright: ignore[reportArgumentType]  (None is a random seed there)
        trust=trust,
    ).check()
    with contextlib.ExitStack() as stack:
        place = recording.run or stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-"))
        return _compare(data, settings, terms, place, stack.enter_context(watching(recording.monitor)))


def _compare(data: Any, settings: Settings, terms: Terms, place: str | Path, monitor: Monitor | None) -> Board:
    from lamina.comparison import compare as comparison

    table = read_table(data)
    settings = with_parts(settings, data, table)
    question = comparison.question(table, settings, terms)
    if (Path(place) / "run.json").exists():
        folder = Run.open(place)
        comparison.check_same(folder, {**question, "asked": settings.to_json()}, fingerprint(_storable(table)))
        return finish_comparison(table, settings, terms=terms, run=folder, monitor=monitor)
    folder = start_run(place, data, table, settings, verb="compare", **{**terms.to_json(), **question}, threads=terms.threads)
    try:
        return finish_comparison(table, settings, terms=terms, run=folder, monitor=monitor)
    except LaminaError:
        if not folder.events():  # refused before anything was fitted: there is nothing to resume
            shutil.rmtree(folder.folder)
        raise


def target_of(data: Any, target: Any) -> Any:
    """The target as it was given; a folder of class folders has one of its own.

    Raises:
        OptionError: There is none.
    """
    if target is not None and not (isinstance(target, str | list | tuple) and not target):
        return target
    if (path := _path(data)) and path.is_dir():
        return "label"
    raise OptionError("there is no target; name the column to predict: target='income' (in the command line --target income)")


def with_parts(settings: Settings, data: Any, table: pl.DataFrame) -> Settings:
    """The settings with the split that a folder or an archive with train and test parts has of its own.

    Where another split is asked for, the column of parts is ignored: it is nothing to learn from.
    """
    if _path(data) is None or table.schema.get("split") != SPLIT or "split" in settings.roles:
        return settings
    if any(getattr(settings, role) is not None for role in SPLITTERS):
        return dataclasses.replace(settings, drop=(*(settings.drop or ()), "split"))
    return dataclasses.replace(settings, split="split")


def _path(data: Any) -> Path | None:
    """The whole path of a file or folder; None for what is held in memory."""
    return Path(os.path.abspath(os.path.expanduser(data))) if isinstance(data, str | os.PathLike) else None


@known_options
def load(path: str | Path, device: str = "cpu") -> Classifier | Regressor:
    """Load a ``.lamina`` file: a fitted estimator that answers bit by bit as it did when it was saved.

    Raises:
        ModelFileError: There is no such file, it is none of lamina's, it is damaged, or a newer lamina wrote it.
        OptionError: The path is no path, or the device cannot be used here.
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"path is {shortened(path)}, expected that of a .lamina file")
    return estimator(store.load(path, choose_device(device)))


@known_options
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
    recording = Recording(run=run, monitor=monitor).check()
    Interventions(callbacks, edit).check()
    if recording.run is None:
        raise OptionError("run is None, expected the folder of a run, such as 'runs/adult-1'")
    folder = Run.open(recording.run)
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

    terms = dataclasses.replace(comparison.terms_of(folder), families=comparison.candidates_of(folder))
    return finish_comparison(table, settings, terms=terms, run=folder, monitor=monitor)


def start_run(folder: str | Path, data: Any, table: pl.DataFrame, settings: Settings, *, verb: str = "fit", **more: Any) -> Run:
    """Begin a run, with all that is needed to go on with it: a path to the data, or a copy of them."""
    table = _storable(table)
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


def finish_comparison(table: pl.DataFrame, settings: Settings, *, terms: Terms, run: Run, monitor: Any = None) -> Board:
    """Compare, and leave the board and the recommended model in the run's folder."""
    from lamina.comparison import board as boards
    from lamina.comparison import compare as comparison

    with watching(monitor) as watch:
        board, model = comparison.compare(table, settings, terms=terms, run=run, monitor=watch)
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


def _storable(table: pl.DataFrame) -> pl.DataFrame:
    """The table as a file can hold it: a column of Python objects, which nothing learns from, is empty there."""
    objects = [name for name, dtype in table.schema.items() if dtype == pl.Object]
    return table.with_columns(pl.lit(None).alias(name) for name in objects) if objects else table
