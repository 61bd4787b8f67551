"""``lamina fit``: fit a model and save it in a file."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamina.cli import options
from lamina.cli.shared import INTERRUPTED, check_output, copy_model, print_error, print_json, resume_command, waiting
from lamina.errors import OptionError
from lamina.fitting.settings import Settings

if TYPE_CHECKING:
    from lamina.estimators import Classifier, Regressor
    from lamina.families import Auto, Family
    from lamina.train.events import Event, Monitor
    from lamina.train.recipe import Recipe
    from lamina.train.run import Run

    Estimator = Classifier | Regressor

_FAMILIES = (
    "Networks: feedforward, shortcut, convolutional, recurrent, attention, hierarchical; classical: forest, boosting, linear, "
    "neighbours, ..."
)
_LIST = "List the options for --set, with defaults and bounds."


def _print_options(value: bool) -> None:
    if value:
        from lamina.cli.render import options_tables

        options_tables()
        raise typer.Exit


def fit(  # typer reads the options from the arguments
    data: options.Data,
    target: options.Target = None,
    out: Annotated[Path | None, options.output("Path of the model; default TARGET.lamina.")] = None,
    run: Annotated[Path | None, options.output("Folder of events and checkpoints; default runs/NAME-1, -2, ...")] = None,
    task: options.Task = None,
    kind: options.Kind = None,
    drop: options.Drop = None,
    unique: options.Unique = False,
    group: options.Group = None,
    time: options.Time = None,
    split: options.SplitColumn = None,
    weight: options.Weight = None,
    validation: options.Validation = Settings.validation,
    class_weight: options.ClassWeight = None,
    merge_rare: options.MergeRare = False,
    skip_bad: options.SkipBad = False,
    family: Annotated[str, options.declared(Settings, "family", options.TRAINING, more=_FAMILIES)] = "auto",
    quality: options.Quality = Settings.quality,
    time_limit: options.TimeLimit = None,
    set_: options.Set = None,
    list_options: Annotated[
        bool, typer.Option("--options", callback=_print_options, is_eager=True, help=_LIST, rich_help_panel=options.TRAINING)
    ] = False,
    start: options.Start = None,
    teacher: options.Teacher = None,
    trust: options.Trust = Settings.trust,
    seed: options.Seed = Settings.seed,
    device: options.Device = Settings.device,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fit a model that predicts a column of a table from the others.

    [bold]lamina fit adult.parquet --target income[/bold]
    """
    target, model_path, folder = check_paths(data, target, out, run)
    with discarding_empty_run(folder):
        with waiting(f"reading {data}"):
            chosen, recipe = parse_options(family, set_ or [])
            settings = Settings(
                target,
                task=task,
                kinds=parse_kinds(kind or []),
                group=group,
                time=time,
                split=split,
                weight=weight,
                drop=drop,
                unique=unique,
                validation=validation,
                class_weight=class_weight,
                merge_rare=merge_rare,
                skip_bad=skip_bad,
                family=chosen,
                quality=quality,
                time_limit=time_limit,
                recipe=recipe,
                device=device,
                seed=seed,
                trust=trust,
            ).check()
            from lamina import runs  # loads torch, so the options are checked before
            from lamina.estimators import estimator
            from lamina.starting import model_teacher, warm_start

            sources = {"warm": warm_start(start), "teacher": None if teacher is None else model_teacher(teacher)}
            table, settings = runs.read(data, settings)
            created = runs.start_run(folder, data, table, settings, **sources)

        def finish(monitor: Monitor) -> Estimator:
            return estimator(runs.finish(table, settings, run=created, monitor=monitor, **sources), settings)

        fitted = fit_with_progress(finish, created, model_path, as_json)
    save_and_show(fitted, created, model_path, as_json)


def parse_options(family: str, sets: list[str]) -> tuple[Family | Auto | str, Recipe]:
    """The family and the recipe with the options of ``--set``."""
    from lamina.families import Auto, make_family
    from lamina.options import parse
    from lamina.train.recipe import Recipe

    values: dict[str, dict[str, Any]] = {"recipe": {}, "family": {}}
    for text in sets:
        where, equals, value = text.partition("=")
        owner, dot, name = where.strip().partition(".")
        if not equals or not dot or owner not in values:
            raise OptionError(
                f"--set {text}: write recipe.NAME=VALUE or family.NAME=VALUE; `lamina fit --options` lists them all"
            )
        if owner == "family" and family == "auto":  # the family is chosen later and parses the text
            values[owner][name] = value.strip()
        else:
            values[owner][name] = parse(Recipe if owner == "recipe" else make_family(family), name, value.strip())
    recipe = Recipe(**values["recipe"])
    if not values["family"]:
        return family, recipe
    return (Auto if family == "auto" else make_family(family))(**values["family"]), recipe


def parse_recipe(sets: list[str]) -> Recipe:
    """The recipe with the options of ``--set``, which may have none of a family."""
    for text in sets:
        if text.strip().startswith("family."):
            raise OptionError(
                f"--set {text}: a comparison has several families, so --set is for the recipe; give options of families in "
                "Python: lamina.compare(families=['linear', FeedForward(hidden_sizes=(64, 64))])"
            )
    return parse_options("auto", sets)[1]


def parse_kinds(texts: list[str]) -> dict[str, str]:
    """The kinds of ``--kind``, by column."""
    kinds = {}
    for text in texts:
        column, equals, kind = text.rpartition("=")
        if not equals:
            raise OptionError(f"--kind {text}: write COLUMN=KIND, such as --kind zip=category")
        kinds[column] = kind
    return kinds


def check_paths(
    data: str, target: list[str] | None, out: Path | None, run: Path | None, *, suffix: str = ""
) -> tuple[list[str], Path, Path]:
    """The targets, the path of the model, and the folder of the run."""
    from lamina.train.run import Run

    if not target and not Path(data).is_dir():
        raise typer.BadParameter("give the column to predict, such as --target income", param_hint="--target")
    target = target or ["label"]
    name = re.sub(r"[^\w.-]+", "-", "-".join(target)[:80]).strip("-.") or "model"
    path = check_output(out or Path(f"{name}{suffix}.lamina"), data)
    stem = "stdin" if data == "-" else Path(Path(data).name.removesuffix(".gz")).stem
    return target, path, run or Run.fresh_folder(stem + suffix)


@contextlib.contextmanager
def discarding_empty_run(folder: Path) -> Iterator[None]:
    """Delete the files of a run that fails before its first event; a later failure leaves a run that can be resumed."""
    from lamina.train.run import Run

    try:
        yield
    except BaseException:
        Run.discard_empty(folder)
        raise


def _has_events(folder: Path) -> bool:
    from lamina.train.run import Run

    return (folder / "run.json").exists() and bool(Run.open(folder).events())


def fit_with_progress(fit: Callable[[Monitor], Estimator], run: Run, path: Path, as_json: bool) -> tuple[Estimator, bool]:
    """The estimator, fitted with a progress bar, and whether the columns were shown before training, as on a terminal."""
    from lamina.cli.render import show_columns
    from lamina.progress import progress
    from lamina.train.events import Start

    interactive = sys.stdout.isatty() and not as_json
    with progress(transient=True) as bar:

        def monitor(event: Event) -> None:
            if interactive and isinstance(event, Start) and event.schema is not None and event.task is not None:
                show_columns(event.schema, event.task)
            bar(event)

        try:
            return fit(monitor), interactive
        except KeyboardInterrupt:
            if not _has_events(run.folder):
                raise
            print_error(f"stopped before there was a model; resume with: {resume_command(run, path)}")
            raise typer.Exit(INTERRUPTED) from None


def save_and_show(fitted: tuple[Estimator, bool], run: Run, path: Path, as_json: bool) -> None:
    """Copy the model to its path, and print its summary."""
    from lamina.cli.render import card, show_model, show_paths
    from lamina.train.events import StopReason

    model, columns_shown = fitted[0].model_, fitted[1]
    interrupted = model.card["stopped"] == StopReason.INTERRUPTED
    resume = resume_command(run, path) if interrupted else ""
    if interrupted:
        path = run.model_path  # a finished model at `path` is kept
    else:
        copy_model(run, path)
    if as_json:
        print_json({"model": str(path), "run": str(run.folder), **card(model)})
    else:
        show_model(model, columns=not columns_shown)
        show_paths(path, run.folder, resume=resume)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
