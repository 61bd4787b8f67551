"""``lamina tune``: a search for the options of a family and its recipe, a verdict and the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamina.cli import options
from lamina.cli.fit import check_paths, discarding_empty_run, parse_kinds, parse_options
from lamina.cli.shared import INTERRUPTED, copy_model, plain, print_error, print_json, resume_command, waiting
from lamina.errors import OptionError
from lamina.fitting.settings import Settings
from lamina.options import parse
from lamina.tuning.terms import TuningTerms

if TYPE_CHECKING:
    from lamina.train.run import Run
    from lamina.tuning.results import Tuning

_TUNING = "Tuning options"
_SHOWN = 5
"""Trials on the screen."""


def tune(  # typer reads the options from the arguments
    data: options.Data,
    target: options.Target = None,
    family: Annotated[
        list[str] | None, options.declared(TuningTerms, "family", _TUNING, "--family", more="Here a name; can be repeated.")
    ] = None,
    space: Annotated[
        list[str] | None,
        options.declared(
            TuningTerms,
            "space",
            _TUNING,
            metavar="NAME=RANGE",
            more="Here family.max_depth=2:10, recipe.learning_rate=1e-4:1e-2:log or family.max_features=sqrt,0.5. Can be "
            "repeated.",
        ),
    ] = None,
    trials: Annotated[int, options.declared(TuningTerms, "trials", _TUNING)] = TuningTerms.trials,
    time_limit: Annotated[float | None, options.declared(TuningTerms, "time_limit", _TUNING)] = None,
    metric: Annotated[str, options.declared(TuningTerms, "metric", _TUNING)] = TuningTerms.metric,
    rope: Annotated[float | None, options.declared(TuningTerms, "rope", _TUNING)] = None,
    sampler: Annotated[str, options.declared(TuningTerms, "sampler", _TUNING)] = TuningTerms.sampler,
    folds: Annotated[str, options.declared(TuningTerms, "folds", _TUNING, metavar="INTEGER|auto")] = "auto",
    test: Annotated[float, options.declared(TuningTerms, "test", _TUNING)] = TuningTerms.test,
    out: Annotated[Path | None, options.output("Path of the model; default TARGET-tune.lamina.")] = None,
    run: Annotated[Path | None, options.output("Folder of the run; an unfinished run in it is resumed.")] = None,
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
    set_: options.Set = None,
    trust: options.Trust = Settings.trust,
    seed: options.Seed = Settings.seed,
    device: options.Device = Settings.device,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Search for better options than the defaults: trials, a verdict, an honest score and the model.

    [bold]lamina tune adult.parquet --target income --family boosting --trials 30 --time-limit 600[/bold]
    """
    target, path, folder = check_paths(data, target, out, run, suffix="-tune")
    with discarding_empty_run(folder), waiting(f"reading {data}"):
        from lamina import api
        from lamina.progress import progress

        names = family or ["auto"]
        if len(names) > 1 and any(text.strip().startswith("family.") for text in set_ or []):
            raise OptionError("--set family.NAME needs a single --family; of several, give options in Python: lamina.tune")
        chosen, recipe = parse_options(names[0], set_ or [])
        ranges = parse_space(space or [])
    with discarding_empty_run(folder), progress(transient=True) as bar:
        result = api.tune(
            data,
            target if len(target) > 1 else target[0],
            family=chosen if len(names) == 1 else names,
            space=ranges or None,
            trials=trials,
            time_limit=time_limit,
            metric=metric,
            rope=rope,
            sampler=sampler,
            folds=parse(TuningTerms, "folds", folds),
            test=test,
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
            recipe=recipe,
            device=device,
            seed=seed,
            trust=trust,
            run=folder,
            monitor=bar,
        )
    from lamina.train.run import Run

    save_and_show(result, Run.open(folder), path, as_json)


def parse_space(texts: list[str]) -> dict[str, Any]:
    """The ranges of ``--space``, by option.

    Example:
        >>> parse_space(["family.max_depth=2:10", "recipe.learning_rate=1e-4:1e-2:log", "family.max_features=sqrt,0.5"])
        {'family.max_depth': (2, 10), 'recipe.learning_rate': (0.0001, 0.01, 'log'), 'family.max_features': ['sqrt', 0.5]}
    """
    ranges: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise OptionError(
                f"--space {text}: write NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=VALUE,VALUE, such as family.max_depth=2:10"
            )
        bounds = values.split(":")
        ranges[name.strip()] = tuple(map(_value, bounds)) if len(bounds) > 1 else [_value(value) for value in values.split(",")]
    return ranges


def _value(text: str) -> Any:
    """A value of ``--space``: a number, true, false, none, sizes such as 64x64, or a text."""
    text = text.strip()
    if text.lower() in (words := {"none": None, "true": True, "false": False}):
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    parts = text.split("x")
    return tuple(int(part) for part in parts if part) if all(part.isdigit() for part in parts if part) and "x" in text else text


def save_and_show(result: Tuning, run: Run, path: Path, as_json: bool) -> None:
    """Copy the model to its path, and print the best trials and the verdict."""
    copy_model(run, path)
    if as_json:
        print_json({**result.to_json(), "run": str(run.folder), "model": str(path)})
    else:
        from lamina.cli.render import show_paths

        show_tuning(result)
        which = "the tuned settings" if result.verdict.take == "tuned" else "the defaults"
        show_paths(path, run.folder, about=f", {which} fitted to all rows")
    if result.stopped == "interrupted":
        print_error(f"stopped before all trials were done; resume with: {resume_command(run, path)}")
        raise typer.Exit(INTERRUPTED)


def show_tuning(result: Tuning) -> None:
    """Print notes, the best trials beside that of the defaults, and the verdict."""
    from rich.text import Text

    from lamina.cli.screen import cell, console, small_table, title
    from lamina.tuning.space import shown
    from lamina.wording import count, duration, number

    out = console()
    for note in result.notes:
        out.print(Text(f"Note: {plain(note)}."))
    if result.notes:
        out.print()
    out.print(title(f"{result.metric_title} of the best of {count(len(result.trials), 'trial')}; {plain(result.how)}"))
    table = small_table("trial", "score", "time", "settings", right=(0, 1, 2))
    for one in result.ranked()[:_SHOWN]:
        settings = f"defaults of {one.defaults}" if one.defaults else shown(one.params)
        table.add_row(str(one.number), cell(one.score), duration(one.seconds), plain(settings))
    out.print(table)
    out.print()
    interval = f"95 % interval {number(result.low)} to {number(result.high)}"
    out.print(Text(f"Score to expect on new rows: {result.metric_title} {number(result.score)} ({interval})."))
    out.print(Text(plain(result.verdict.words)))
