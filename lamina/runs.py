"""The runs of the public calls: reads their data, starts and opens the folder of a run, and fits with it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from narwhals.dependencies import is_pandas_dataframe

from lamina import store
from lamina.data.folder import SPLIT
from lamina.data.frames import with_labels
from lamina.data.read import STDIN, read_source
from lamina.data.rowhash import check_comparable, fingerprint
from lamina.data.xy import check_label_types
from lamina.errors import LaminaError, OptionError, RunError
from lamina.fitting.distill import Teacher
from lamina.fitting.fit import fit_model
from lamina.fitting.settings import SPLITTERS, Settings
from lamina.fitting.warm import WarmStart
from lamina.functions import recall
from lamina.model import Model
from lamina.starting import keep_start, keep_teacher
from lamina.train.callbacks import Callback
from lamina.train.loop import Edit
from lamina.train.run import DATA, Run, replacing

# -- data ------------------------------------------------------------------------------------------------------------------


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


def _storable(table: pl.DataFrame) -> pl.DataFrame:
    """The table without the values of Python objects, which Arrow files do not support and no family uses."""
    objects = [name for name, dtype in table.schema.items() if dtype == pl.Object]
    return table.with_columns(pl.lit(None).alias(name) for name in objects) if objects else table


# -- beginning -------------------------------------------------------------------------------------------------------------


def start_run(
    folder: str | Path,
    data: Any,
    table: pl.DataFrame,
    settings: Settings,
    *,
    verb: str = "fit",
    warm: WarmStart | None = None,
    teacher: Teacher | None = None,
    **more: Any,
) -> Run:
    """Create a run with the settings, the path or a copy of the data, and copies of the models that training needs."""
    more |= {} if warm is None else {"start": warm.to_json()}
    more |= {} if teacher is None else {"teacher": teacher.to_json()}
    table, source = _storable(table), _path(data)
    where = {"path": str(source)} if source else {"copy": DATA}
    content = {"verb": verb, "data": {"fingerprint": fingerprint(table), **where}, "asked": settings.to_json(), **more}
    run = Run.create(folder, content)
    if warm is not None:
        keep_start(warm, run)
    if teacher is not None:
        keep_teacher(teacher, run)
    if source is None:
        try:
            with replacing(run.data_path) as path:
                table.write_ipc(path, compression="zstd")
        except OSError as error:
            raise RunError(
                f"cannot write in the run folder {folder}: {error.strerror or error}; make room or choose another"
            ) from error
    return run


@contextlib.contextmanager
def open_run(
    folder: str | Path,
    data: Any,
    table: pl.DataFrame,
    settings: Settings,
    *,
    verb: str,
    check: Callable[[Run, Mapping[str, Any], str], None],
    **options: Any,
) -> Iterator[Run]:
    """The run of a comparison or tuning in a folder, new or checked to be the same; a new one that fits nothing is deleted.

    Args:
        folder: Folder of the run.
        data: The source of the table, as given.
        table: Its rows.
        settings: The settings of the fits.
        verb: "compare" or "tune".
        check: Called with a run that is there, the options and the fingerprint of the rows, to compare them.
        **options: Further options, as JSON.
    """
    if (Path(folder) / "run.json").exists():
        opened = Run.open(folder)
        check(opened, {**options, "asked": settings.to_json()}, fingerprint(_storable(table)))
        yield opened
        return
    created = start_run(folder, data, table, settings, verb=verb, **options)
    try:
        yield created
    except LaminaError as error:
        if not isinstance(error, RunError):
            Run.discard_empty(created.folder)
        raise


def read_again(run: Run, custom_objects: Mapping[str, Callable[..., object]] | None) -> tuple[pl.DataFrame, Settings]:
    """The table and the settings of an unfinished run.

    Raises:
        RunError: The data are missing or have changed, or the settings are damaged.
        OptionError: A function of the settings is not among the custom objects.
    """
    path = run.data_path
    if not path.exists():
        raise RunError(f"the data of this run are missing: {path}; restore the file, or {run.verb} again")
    try:
        settings = Settings.from_json(run.settings["asked"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise run.damaged(f"its settings: {error}") from error
    table = read_source(path, skip_bad=settings.skip_bad).table
    stored = str(run.settings["data"].get("fingerprint"))
    check_comparable(stored, run.folder)
    if fingerprint(table) != stored:
        raise RunError(f"{path} has changed since the run began; restore the old file, or {run.verb} again")
    remedy = f"give it again: lamina.resume({str(run.folder)!r}, custom_objects={{'{{name}}': {{name}}}})"
    return table, recall(settings, custom_objects, remedy=remedy)


# -- fitting -------------------------------------------------------------------------------------------------------------------


def finish(
    table: pl.DataFrame,
    settings: Settings,
    *,
    run: Run | None = None,
    monitor: Any = None,
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
    warm: WarmStart | None = None,
    teacher: Teacher | None = None,
) -> Model:
    """Fit a model and save it in the run folder."""
    save = None if run is None else lambda model: store.save(model, run.model_path)
    with contextlib.nullcontext() if run is None else run.claimed(), monitoring(monitor) as monitor:
        return fit_model(
            table,
            settings,
            run=run,
            monitor=monitor,
            callbacks=callbacks,
            edit=edit,
            start=warm,
            teacher=teacher,
            search_leaks=True,
            save=save,
        )


@contextlib.contextmanager
def monitoring(monitor: Any) -> Iterator[Any]:
    """The monitor: a progress bar for "auto", else the given one."""
    if monitor != "auto":
        yield monitor
        return
    from lamina.progress import progress

    with progress() as bar:
        yield bar
