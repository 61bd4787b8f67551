"""The public functions ``lamina.fit``, ``lamina.compare``, ``lamina.tune``, ``lamina.load`` and ``lamina.resume``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from lamina import runs, store
from lamina.comparison.teacher import teacher_of
from lamina.errors import OptionError
from lamina.estimators import Classifier, Regressor, estimator
from lamina.families import Auto, Family
from lamina.fitting.settings import Interventions, Recording, Resumption, Settings
from lamina.fitting.training import choose_device
from lamina.model import Fitted, Model
from lamina.options import known_options, shortened
from lamina.starting import kept_start, kept_teacher, warm_start
from lamina.stored import reading
from lamina.train.callbacks import Callback
from lamina.train.events import Monitor
from lamina.train.loop import Edit
from lamina.train.recipe import Recipe
from lamina.train.run import Run

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from lamina.comparison.board import Board
    from lamina.comparison.terms import FamilyOrEstimator
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
    teacher: Model | Fitted | BaseEstimator | str | Path | None = None,
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
        quality: What "auto" tries: "fast" classical candidates only; "good" a network as well, up to 5,000 rows on 5 folds;
            "best" an ensemble of 5 folds.
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
        teacher: Model whose predictions a network learns, beside the target (distillation): a fitted model of any family or its
            ``.lamina`` file, or a scikit-learn estimator, which is fitted first if it is not. See
            :meth:`~lamina.Classifier.distill`.

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
    settings = Settings(**_options_of(Settings, options, target=runs.target_of(data, target))).check()
    sources = {"warm": warm_start(start), "teacher": teacher_of(teacher)}
    table, settings = runs.read(data, settings)
    folder = None if recording.run is None else runs.start_run(recording.run, data, table, settings, **sources)
    model = runs.finish(table, settings, run=folder, monitor=monitor, callbacks=callbacks, edit=edit, **sources)
    return estimator(model, settings)


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
    settings = Settings(**_options_of(Settings, options, target=runs.target_of(data, target), time_limit=None)).check()
    with contextlib.ExitStack() as stack:
        folder = recording.run or stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-"))
        bar = stack.enter_context(runs.monitoring(recording.monitor))
        table, settings = runs.read(data, settings)
        question = comparison.fixed_options(table, settings, terms)
        more = {**terms.to_json(), **question, "threads": terms.threads}
        opening = runs.open_run(folder, data, table, settings, verb="compare", check=comparison.check_same, **more)
        opened = stack.enter_context(opening)
        return comparison.finish(table, settings, terms=terms, run=opened, monitor=bar)


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
    settings = Settings(**_options_of(Settings, of_fit, target=runs.target_of(data, target), family="auto")).check()
    optuna()
    with contextlib.ExitStack() as stack:
        folder = recording.run or stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-"))
        bar = stack.enter_context(runs.monitoring(recording.monitor))
        table, settings = runs.read(data, settings)
        began = monotonic()
        question = tuning.fixed_options(table, settings, terms)
        more = {**terms.to_json(), **question}
        opening = runs.open_run(folder, data, table, settings, verb="tune", check=tuning.check_same, **more)
        opened = stack.enter_context(opening)
        return tuning.finish(table, settings, terms=terms, run=opened, monitor=bar, began=began)


def _options_of(declared: type, options: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """The options that a class declares, some of them changed."""
    names = {field.name for field in dataclasses.fields(declared)}
    return {name: value for name, value in options.items() if name in names} | changed


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
        return _result(folder)
    table, settings = runs.read_again(folder, custom_objects)
    if folder.verb == "fit":
        sources = {"warm": kept_start(folder), "teacher": kept_teacher(folder)}
        model = runs.finish(table, settings, run=folder, monitor=monitor, callbacks=callbacks, edit=edit, **sources)
        return estimator(model, settings)
    if callbacks or edit:
        what = "a comparison" if folder.verb == "compare" else "a tuning"
        raise OptionError(f"{folder.folder} is the run of {what}, which has no callbacks and no edit; leave them out")
    if folder.verb == "tune":
        from lamina.tuning import tune as tuning

        with runs.monitoring(monitor) as watching:
            return tuning.finish(table, settings, terms=tuning.terms_of(folder), run=folder, monitor=watching)
    from lamina.comparison import compare as comparison

    terms = dataclasses.replace(comparison.terms_of(folder), families=comparison.candidates_of(folder))
    with runs.monitoring(monitor) as watching:
        return comparison.finish(table, settings, terms=terms, run=folder, monitor=watching)


def _result(run: Run) -> Classifier | Regressor | Board | Tuning:
    """The result of a finished run: the estimator of a fit, or a board or a tuning with its model."""
    fitted: Any = None if run.settings.get("outside") else estimator(store.load(run.model_path))
    if run.verb == "fit":
        return fitted
    if run.verb == "tune":
        from lamina.tuning.results import load_tuning

        return dataclasses.replace(load_tuning(run), model=fitted)
    from lamina.comparison.board import load_board

    return dataclasses.replace(load_board(run), model=fitted)
