"""The public functions ``lamina.fit``, ``lamina.compare``, ``lamina.tune``, ``lamina.load`` and ``lamina.resume``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import polars as pl
from narwhals.dependencies import is_pandas_dataframe

from lamina import store
from lamina.data.folder import SPLIT
from lamina.data.frames import with_labels
from lamina.data.read import STDIN, read_source
from lamina.data.rowhash import check_comparable, fingerprint
from lamina.data.xy import check_label_types
from lamina.errors import LaminaError, OptionError, RunError
from lamina.estimators import Classifier, Regressor, estimator
from lamina.families import Auto, Family
from lamina.fitting.fit import fit_model
from lamina.fitting.settings import SPLITTERS, Interventions, Recording, Resumption, Settings
from lamina.fitting.training import choose_device
from lamina.fitting.warm import WarmStart
from lamina.functions import recall
from lamina.model import Fitted, Model
from lamina.options import known_options, shortened
from lamina.starting import keep_start, kept_start, warm_start
from lamina.stored import reading
from lamina.train.callbacks import Callback
from lamina.train.events import End, Monitor, StopReason
from lamina.train.loop import Edit
from lamina.train.recipe import Recipe
from lamina.train.run import DATA, Run, replacing

if TYPE_CHECKING:
    from lamina.comparison.board import Board
    from lamina.comparison.terms import FamilyOrEstimator, Terms
    from lamina.tuning.results import Tuning


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
    merge_rare: bool = False,
    skip_bad: bool = False,
    family: Family | Auto | str = "auto",
    quality: str = "good",
    time_limit: float | None = None,
    recipe: Recipe | None = None,
    device: str = "auto",
    seed: int | None = 0,
    trust: bool = True,
    run: str | Path | None = None,
    monitor: Monitor | str | None = "auto",
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
    start: Model | Fitted | str | Path | None = None,
) -> Classifier | Regressor:
    """Fit a model that predicts one column of a table, or several, from the others.

    Args:
        data: A CSV, TSV, Parquet, Arrow, JSON Lines or Excel file (also .gz; book.xlsx#Sheet2; "-" is standard input), a folder
            with a folder of images or texts for each class, an .npz archive, a frame of any library, or a dict of columns
            (arrays, texts, lists of arrays).
        target: Column to predict, or several columns of numbers or of yes and no; optional for class folders.
        task: "classification", "regression" or "multilabel"; None infers it from the target.
        kinds: Column kinds instead of the inferred ones, ``{"zip": "category"}``.
        group: Column of groups; each group is either in the training or in the validation rows.
        time: Column of times; the latest rows are the validation rows. Of a date the month, weekday and hour stay features, as
            far as training rows have whole cycles of them; the time itself is none.
        split: Column that marks the validation rows.
        weight: Column of sample weights.
        drop: Columns to ignore.
        unique: Remove duplicate rows.
        validation: Share of the validation rows. They select the best epoch and stop training.
        class_weight: "balanced", weights by class, or None.
        merge_rare: Merge the classes of fewer than 10 rows into one class "other"; a note names them.
        skip_bad: Skip rows with a damaged or foreign file, or a cell that cannot be read; a note names the first three.
        family: Model family: "auto", a name, or a family with its options. "auto" fits a network and classical candidates, and
            takes the best on the validation rows, the simpler one of equals, or a weighted mean where that is better. With
            options of the recipe, ``edit`` or ``callbacks`` it is the network for these columns.
        quality: What "auto" tries: "fast" classical candidates only, "good" a network as well, "best" an ensemble of 5 folds.
        time_limit: Seconds that the call may take, reading aside. Networks stop in time, other candidates are left out or
            fitted to fewer rows; there always is a model.
        recipe: Training options of networks; None is ``Recipe()``.
        device: "auto" uses a GPU if there is one; "cpu", "cuda", ...
        seed: Seed of all random numbers; None draws one.
        trust: Fit calibration, sets or intervals, novelty and reasons for ``predict(X, trust=True)``; the model then contains
            some training rows.
        run: Folder of events and checkpoints, for ``lamina.resume``.
        monitor: Called with each event (:mod:`lamina.callbacks`); "auto" shows a progress bar in terminals and notebooks, None
            shows nothing.
        callbacks: Called when training starts, after steps and epochs, and at the end; may stop training.
        edit: Called before each epoch with its number and the net; may return a new graph, which keeps the weights of matching
            shape. For networks only.
        start: Model that training starts from (fine-tuning, transfer learning): a fitted network, or its ``.lamina`` file. Its
            columns, readings, encoder and family stay; the last layer is kept for the same target, else it is new. The card
            names the model and its checksum.

    Returns:
        A fitted :class:`~lamina.Classifier` or :class:`~lamina.Regressor` with these options.

    Raises:
        DataError: The data are not suitable; the message names the file, column or row and the remedy.
        OptionError: An option is unknown, of the wrong type, out of bounds, or contradicts another.
        RunError: The run folder cannot be used.

    Example:
        >>> import lamina
        >>> rows = {"x": [i / 100 for i in range(300)], "y": [i / 50 + 1 for i in range(300)]}
        >>> model = lamina.fit(rows, "y", recipe=lamina.Recipe(epochs=40), seed=0)
        >>> model.evaluate(rows)["scores"]["r2"] > 0.9
        True
    """
    options = locals()
    recording = Recording(run=run, monitor=monitor).check()
    Interventions(callbacks, edit).check()
    settings = Settings(**_options_of(Settings, options, target=target_of(data, target))).check()
    warm = warm_start(start)
    table, settings = read(data, settings)
    folder = None if recording.run is None else start_run(recording.run, data, table, settings, warm=warm)
    return finish(table, settings, run=folder, monitor=monitor, callbacks=callbacks, edit=edit, warm=warm)


@known_options
def compare(
    data: Any,  # a frame of any library
    target: str | list[str] | tuple[str, ...] | None = None,
    *,
    families: FamilyOrEstimator | Sequence[FamilyOrEstimator] | Mapping[str, FamilyOrEstimator] = "auto",
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
    merge_rare: bool = False,
    skip_bad: bool = False,
    recipe: Recipe | None = None,
    device: str = "auto",
    seed: int | None = 0,
    trust: bool = True,
    run: str | Path | None = None,
    monitor: Monitor | str | None = "auto",
) -> Board:
    """Cross-validate deep and classical families on the same folds; returns a board with scores, verdict and the best model.

    Each candidate is fitted to the training rows of a fold, preprocessing included, in its own process, and scored on the test
    rows. The verdict uses the differences per fold, corrected for overlapping training sets (Nadeau & Bengio 2003; Benavoli et
    al. 2017); among equal candidates it recommends the simpler one, which is then fitted to all rows.

    Options that are not listed here are those of :func:`fit`.

    Args:
        families: "auto" for all installed classical families and the network for these columns; or names, families and
            scikit-learn estimators or pipelines in a list; or a dict of them by their name on the board. Estimators get the
            features as a pandas DataFrame and the labels or values of the target; they are cloned for each fold.
        folds: Number of folds.
        repeats: Repetitions of the cross-validation; "auto" is 3, 2 from 5,000 rows on, 1 from 20,000 rows on.
        metric: Metric of the comparison.
        rope: The smallest relevant difference (region of practical equivalence), in the metric's units.
        time_limit: Maximum seconds of one fit.
        memory_limit: Maximum gigabytes of one process.
        workers: Number of parallel processes; None is one for each core.
        group: Column of groups; each group is in one fold.
        time: Column of times; the test rows of a fold are later than its training rows. Month, weekday and hour stay features.
        split: Column that marks the test rows of a single fold.
        run: Folder of results; :func:`resume` or the same call resumes it. None stores nothing.

    Returns:
        The board: ``board.verdict.words``, ``board.to_frame()`` and the recommended ``board.model``, which is None for an
        estimator that is not lamina's.

    Raises:
        DataError: The data are not suitable; the message names the column or class and the remedy.
        OptionError: An option is unknown, of the wrong type, out of bounds, or contradicts another.
        RunError: The run folder cannot be used, or has another comparison.

    Example:
        >>> import lamina
        >>> table = {"x": [i / 100 for i in range(200)], "y": ["low"] * 100 + ["high"] * 100}
        >>> board = lamina.compare(table, "y", families=["constant", "linear"], folds=3, monitor=None)
        >>> board.verdict.call, board.model.predict({"x": [0.1]}).tolist()
        ('wins', ['low'])
    """
    options = locals()
    from lamina.comparison import compare as comparison
    from lamina.comparison.terms import Terms

    recording = Recording(run=run, monitor=monitor).check()
    terms = Terms(**_options_of(Terms, options)).check()
    settings = Settings(**_options_of(Settings, options, target=target_of(data, target), time_limit=None)).check()
    with contextlib.ExitStack() as stack:
        folder = recording.run or stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-"))
        monitor = stack.enter_context(_monitoring(recording.monitor))
        table, settings = read(data, settings)
        question = comparison.fixed_options(table, settings, terms)
        if (Path(folder) / "run.json").exists():
            opened = Run.open(folder)
            comparison.check_same(opened, {**question, "asked": settings.to_json()}, fingerprint(_storable(table)))
            return finish_comparison(table, settings, terms=terms, run=opened, monitor=monitor)
        more = {**terms.to_json(), **question, "threads": terms.threads}
        created = start_run(folder, data, table, settings, verb="compare", **more)
        try:
            return finish_comparison(table, settings, terms=terms, run=created, monitor=monitor)
        except LaminaError as error:
            if not isinstance(error, RunError) and not created.events():  # nothing was fitted
                shutil.rmtree(created.folder)
            raise


@known_options
def tune(
    data: Any,  # a frame of any library
    target: str | list[str] | tuple[str, ...] | None = None,
    *,
    family: Family | Auto | str | Sequence[Family | Auto | str] = "auto",
    space: Mapping[str, Sequence[object]] | None = None,
    trials: int = 30,
    time_limit: float | None = None,
    metric: str = "auto",
    rope: float | None = None,
    sampler: str = "tpe",
    folds: int | str = "auto",
    test: float = 0.2,
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
    merge_rare: bool = False,
    skip_bad: bool = False,
    recipe: Recipe | None = None,
    device: str = "auto",
    seed: int | None = 0,
    trust: bool = True,
    run: str | Path | None = None,
    monitor: Monitor | str | None = "auto",
) -> Tuning:
    """Search for better options of a family and its recipe; returns the result with a verdict, an honest score and the model.

    The first trial has the defaults. Trials are scored on folds of the training rows; poor ones are stopped after a fold, those
    of networks after an epoch (successive halving). Test rows, which no trial sees, decide whether tuning was worth it: the
    model is fitted to all rows with the best options, or with the defaults. Needs ``pip install 'lamina[tune]'``.

    Options that are not listed here are those of :func:`fit`; those of ``family`` and ``recipe`` that are given stay fixed.

    Args:
        family: "auto" for the network for these columns, a name, or a family with options; or a list of them, of which the
            search chooses.
        space: The options to search: ``{"family.max_depth": (2, 10), "recipe.learning_rate": (1e-4, 1e-2, "log"),
            "family.max_features": ["sqrt", 0.5]}``; None for those that family and recipe declare (docs/tuning.md).
        trials: Number of trials, that with the defaults among them.
        time_limit: Seconds for the whole call, reading aside; then the best so far is kept.
        metric: Metric of the trials.
        rope: The smallest relevant difference, in the metric's units.
        sampler: "tpe" (tree-structured Parzen estimator, Bergstra et al. 2011) or "random".
        folds: Number of folds that score a trial; 1 for a single part; "auto" is 5, from 2,000 training rows on 3, from 20,000
            on 1.
        test: Share of the test rows.
        group: Column of groups; the rows of each are all test rows or none, and in one fold.
        time: Column of times; the latest rows are the test rows, and a fold scores later rows than it is trained on.
        split: Column that marks the test rows; the validation rows, too, where it has both.
        run: Folder of the trials; :func:`resume` or the same call goes on after an interruption. None stores nothing.

    Returns:
        The result: ``result.verdict.words``, ``result.best_params``, ``result.score``, ``result.to_frame()`` with a row for
        each trial, and ``result.model``.

    Raises:
        DataError: The data are not suitable; the message names the column or class and the remedy.
        OptionError: An option is unknown, of the wrong type, out of bounds, or contradicts another; or the time limit is
            shorter than the fits of the defaults.
        RunError: The run folder cannot be used, or has another tuning.
        MissingExtraError: optuna is not installed.

    Example:
        >>> import lamina
        >>> rows = {"x": [i / 100 for i in range(300)], "y": [(i % 100) ** 2 / 100 for i in range(300)]}
        >>> result = lamina.tune(rows, "y", family="boosting", space={"family.min_samples_leaf": (2, 20)}, trials=2, folds=2,
        ...                      monitor=None)
        >>> result.verdict.take in ("tuned", "defaults"), result.model.predict({"x": [0.5]}).shape
        (True, (1,))
    """
    options = locals()
    from lamina.tuning import tune as tuning
    from lamina.tuning.study import optuna
    from lamina.tuning.terms import TuningTerms

    recording = Recording(run=run, monitor=monitor).check()
    terms = TuningTerms(**_options_of(TuningTerms, options)).check()
    of_fit = {name: value for name, value in options.items() if name != "time_limit"}  # which is that of the whole call
    settings = Settings(**_options_of(Settings, of_fit, target=target_of(data, target), family="auto")).check()
    optuna()
    with contextlib.ExitStack() as stack:
        folder = recording.run or stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-"))
        bar = stack.enter_context(_monitoring(recording.monitor))
        table, settings = read(data, settings)
        began = monotonic()
        question = tuning.fixed_options(table, settings, terms)
        if (Path(folder) / "run.json").exists():
            opened = Run.open(folder)
            same = {**terms.to_json(), **question, "asked": settings.to_json()}
            tuning.check_same(opened, same, fingerprint(_storable(table)))
            return tuning.finish(table, settings, terms=terms, run=opened, monitor=bar, began=began)
        created = start_run(folder, data, table, settings, verb="tune", **terms.to_json(), **question)
        try:
            return tuning.finish(table, settings, terms=terms, run=created, monitor=bar, began=began)
        except LaminaError as error:
            if not isinstance(error, RunError) and not created.events():  # nothing was fitted
                shutil.rmtree(created.folder)
            raise


def _options_of(declared: type, options: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """The options that a class declares, some of them changed."""
    names = {field.name for field in dataclasses.fields(declared)}
    return {name: value for name, value in options.items() if name in names} | changed


def target_of(data: Any, target: Any) -> Any:
    """The given target; by default "label" for a folder of class folders, else an OptionError."""
    if target is not None and not (isinstance(target, str | list | tuple) and not target):
        return target
    if (path := _path(data)) and path.is_dir():
        return "label"
    raise OptionError("there is no target; name the column to predict: target='income' (in the command line --target income)")


def read(data: Any, settings: Settings) -> tuple[pl.DataFrame, Settings]:
    """The table, and the settings with what its source says: the separator of its text, and its split."""
    source = read_source(data, skip_bad=settings.skip_bad)
    if is_pandas_dataframe(data) or isinstance(data, dict):
        for name in settings.targets:
            check_label_types(f"target {name!r}", data.get(name))
    table = with_labels(source.table, data, settings.targets)
    settings = dataclasses.replace(settings, separator=source.separator, skipped=source.skipped)
    return table, with_parts(settings, data, table)


def with_parts(settings: Settings, data: Any, table: pl.DataFrame) -> Settings:
    """The settings with the split of a folder or archive with train and test parts, or with its column ignored."""
    if _path(data) is None or table.schema.get("split") != SPLIT or "split" in settings.roles:
        return settings
    if any(getattr(settings, role) is not None for role in SPLITTERS):
        return dataclasses.replace(settings, drop=(*(settings.drop or ()), "split"))
    return dataclasses.replace(settings, split="split")


def _path(data: Any) -> Path | None:
    """The absolute path of a file or folder; None for data in memory, and for pipes, which can be read only once."""
    if not isinstance(data, str | os.PathLike) or str(data) in STDIN:
        return None
    path = Path(os.path.abspath(os.path.expanduser(data)))
    return None if path.is_fifo() or path.is_relative_to("/dev") or path.is_relative_to("/proc") else path


@known_options
def load(path: str | Path, device: str = "cpu") -> Classifier | Regressor:
    """Load a ``.lamina`` file; returns the fitted estimator, with bitwise the same predictions as when it was saved.

    Raises:
        ModelFileError: The file does not exist, is no ``.lamina`` file, is damaged, or was saved by a newer lamina.
        OptionError: The path has another type, or the device is not available.
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"path is {shortened(path)}, expected the path of a .lamina file")
    with reading(path):
        return estimator(store.load(path, choose_device(device)))


@known_options
def resume(
    run: str | Path,
    *,
    monitor: Monitor | str | None = "auto",
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
    custom_objects: Mapping[str, Callable[..., object]] | None = None,
) -> Classifier | Regressor | Board | Tuning:
    """Resume an interrupted fit, comparison or tuning; a finished one is loaded.

    On a CPU the weights are bitwise those of an uninterrupted run. The folder may have been moved.

    Args:
        run: Folder of the run.
        monitor: As for :func:`fit`.
        callbacks: As for :func:`fit`; not stored in the run. None for a comparison or tuning.
        edit: As for :func:`fit`; not stored in the run. None for a comparison or tuning.
        custom_objects: Functions of the family or recipe by name, ``{"my_loss": my_loss}``; not stored in the run. Those of a
            module are imported without.

    Returns:
        The fitted estimator of a fit; the board of a comparison, with the recommended model; the result of a tuning, with its
        model.

    Raises:
        RunError: The folder has no run, it is damaged, or its data are missing or have changed.

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
    Resumption(custom_objects).check()
    if recording.run is None:
        raise OptionError("run is None, expected the folder of a run, such as 'runs/adult-1'")
    folder = Run.open(recording.run)
    if folder.finished:
        fitted: Any = None if folder.settings.get("outside") else estimator(store.load(folder.model_path))
        if folder.verb == "fit":
            return fitted
        if folder.verb == "tune":
            from lamina.tuning.results import load_tuning

            return dataclasses.replace(load_tuning(folder), model=fitted)
        from lamina.comparison.board import load_board

        return dataclasses.replace(load_board(folder), model=fitted)
    path = folder.data_path
    if not path.exists():
        raise RunError(f"the data of this run are missing: {path}; restore the file, or {folder.verb} again")
    try:
        settings = Settings.from_json(folder.settings["asked"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise folder.damaged(f"its settings: {error}") from error
    table = read_source(path, skip_bad=settings.skip_bad).table
    stored = str(folder.settings["data"].get("fingerprint"))
    check_comparable(stored, folder.folder)
    if fingerprint(table) != stored:
        raise RunError(f"{path} has changed since the run began; restore the old file, or {folder.verb} again")
    remedy = f"give it again: lamina.resume({str(recording.run)!r}, custom_objects={{'{{name}}': {{name}}}})"
    settings = recall(settings, custom_objects, remedy=remedy)
    if folder.verb == "fit":
        warm = kept_start(folder)
        return finish(table, settings, run=folder, monitor=monitor, callbacks=callbacks, edit=edit, warm=warm)
    if callbacks or edit:
        what = "a comparison" if folder.verb == "compare" else "a tuning"
        raise OptionError(f"{folder.folder} is the run of {what}, which has no callbacks and no edit; leave them out")
    if folder.verb == "tune":
        from lamina.tuning import tune as tuning

        with _monitoring(monitor) as watching:
            return tuning.finish(table, settings, terms=tuning.terms_of(folder), run=folder, monitor=watching)
    from lamina.comparison import compare as comparison

    terms = dataclasses.replace(comparison.terms_of(folder), families=comparison.candidates_of(folder))
    return finish_comparison(table, settings, terms=terms, run=folder, monitor=monitor)


def start_run(
    folder: str | Path,
    data: Any,
    table: pl.DataFrame,
    settings: Settings,
    *,
    verb: str = "fit",
    warm: WarmStart | None = None,
    **more: Any,
) -> Run:
    """Create a run with the settings, the path or a copy of the data, and a copy of the model that training starts from."""
    more |= {} if warm is None else {"start": warm.to_json()}
    table, source = _storable(table), _path(data)
    where = {"path": str(source)} if source else {"copy": DATA}
    content = {"verb": verb, "data": {"fingerprint": fingerprint(table), **where}, "asked": settings.to_json(), **more}
    run = Run.create(folder, content)
    if warm is not None:
        keep_start(warm, run)
    if source is None:
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
    warm: WarmStart | None = None,
) -> Classifier | Regressor:
    """Fit a model and save it in the run folder; returns the estimator."""
    save = None if run is None else lambda model: store.save(model, run.model_path)
    with contextlib.nullcontext() if run is None else run.claimed(), _monitoring(monitor) as monitor:
        model = fit_model(
            table,
            settings,
            run=run,
            monitor=monitor,
            callbacks=callbacks,
            edit=edit,
            start=warm,
            search_leaks=True,
            save=save,
        )
    return estimator(model, settings)


def finish_comparison(table: pl.DataFrame, settings: Settings, *, terms: Terms, run: Run, monitor: Any = None) -> Board:
    """Compare, and save the board and the recommended model in the run folder."""
    from lamina.comparison import board as boards
    from lamina.comparison import compare as comparison

    with run.claimed():
        with _monitoring(monitor) as monitor:
            board, model = comparison.compare(table, settings, terms=terms, run=run, monitor=monitor)
        boards.save_board(board, run)
        interrupted = not board.complete or (model is not None and model.card["stopped"] == StopReason.INTERRUPTED)
        run.change(outside=board.outside)
        if board.outside:
            run.model_path.unlink(missing_ok=True)  # of an earlier call
        if model is None or interrupted:
            if interrupted or board.outside:
                run.write(End(StopReason.INTERRUPTED if interrupted else StopReason.FITTED))
            return board
        store.save(model, run.model_path)
        run.write(End(StopReason.FITTED))
    return dataclasses.replace(board, model=estimator(model, settings))


@contextlib.contextmanager
def _monitoring(monitor: Any) -> Iterator[Any]:
    """The monitor: a progress bar for "auto", else the given one."""
    if monitor != "auto":
        yield monitor
        return
    from lamina.progress import progress

    with progress() as bar:
        yield bar


def _storable(table: pl.DataFrame) -> pl.DataFrame:
    """The table without the values of Python objects, which Arrow files do not support and no family uses."""
    objects = [name for name, dtype in table.schema.items() if dtype == pl.Object]
    return table.with_columns(pl.lit(None).alias(name) for name in objects) if objects else table
