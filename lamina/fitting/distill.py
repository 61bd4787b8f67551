"""Distillation: a network, the student, learns the outputs of a fitted model, its teacher (Hinton et al. 2015).

It learns them for the training rows, mixed with the true target, and for perturbed rows whose target is unknown: cells of plain
columns are replaced by those of other training rows (after Bucila et al. 2006, "Model compression", and Fakoor et al. 2020,
arXiv 2006.14284). A teacher that was fitted to the training rows is too sure of them; outputs out of fold or out of bag are
taken where the teacher has them for these rows, and perturbed rows are none that it knows.
"""

from __future__ import annotations

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lamina.data.rowhash import fingerprint
from lamina.data.schema import Schema, rows_numbered_as
from lamina.errors import DataError, OptionError, RunError
from lamina.families import Auto, Family, FeedForward, check_family, choose_family
from lamina.families.family import NetworkFamily
from lamina.fitting.encoded import Encoded, EncodedSplit
from lamina.fitting.members import Rows
from lamina.fitting.prepare import Prepared, prepare
from lamina.fitting.settings import Settings
from lamina.fitting.split import Split
from lamina.fitting.warm import prepare_as
from lamina.model import Model
from lamina.options import shortened
from lamina.tasks.task import Task
from lamina.train.run import TEACHER_OUTPUTS, Run
from lamina.wording import listed

SHARE = 0.5
"""Share of the teacher's outputs in the target of a training row; the rest is the true target. A perturbed row has no other."""
SWAPPED = 0.3
"""Share of the cells of plain columns that a perturbed row has from other rows."""
ENOUGH, MOST_COPIES = 60_000, 10
"""Training and perturbed rows: about so many, but at least one perturbed row and at most so many for a training row."""
TIME = 0.3
"""Share of a time limit that the teacher may take for the perturbed rows."""
CHUNK = 2048


class Teacher(ABC):
    """Whose outputs a student learns.

    Attributes:
        name: The path of its file, or a text that names it in errors and in the card.
    """

    name: str

    def prepare(self, table: pl.DataFrame, settings: Settings) -> Prepared:
        """The prepared table, whose columns and target are such that the teacher predicts them.

        Raises:
            OptionError: The teacher is for another target, task or classes.
            SchemaError: The columns are not those of the teacher.
        """
        return prepare(table, settings)

    @abstractmethod
    def training_outputs(self, features: pl.DataFrame, prepared: Prepared, parts: Split, task: Task, seed: int) -> np.ndarray:
        """Outputs for the training rows (n, size), not fitted to them where that can be had; called first.

        Args:
            features: All prepared rows, as ``schema.check`` returns them.
            prepared: The same rows with target and weights.
            parts: The training and validation rows.
            task: The task of the student, whose outputs these are.
            seed: Seed of random numbers.
        """

    @abstractmethod
    def outputs(self, features: pl.DataFrame) -> np.ndarray:
        """Outputs for any rows (N, size), after :meth:`training_outputs`."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Who it is, for the card."""

    def fitted_to_validation(self, prepared: Prepared, parts: Split, settings: Settings) -> bool | None:
        """Whether it was fitted to validation rows of the student; None where that is not known."""
        return None


class ModelTeacher(Teacher):
    """A fitted model of any family.

    Args:
        model: The model.
        name: The path of its file, or a text that names it.
        checksum: The SHA-256 in the header of its file.
    """

    def __init__(self, model: Model, name: str, checksum: str) -> None:
        self.model, self.name, self.checksum = model, name, checksum

    def to_json(self) -> dict[str, Any]:
        return {"model": self.name, "family": self.model.family, "checksum": self.checksum}

    def prepare(self, table: pl.DataFrame, settings: Settings) -> Prepared:
        task = self.model.task
        if settings.kinds:
            given = shortened(settings.kinds)
            raise OptionError(f"kinds is {given}, but teacher is {self.name}, which decides the kinds of columns; leave it out")
        if settings.task not in (None, task.name):
            raise OptionError(f"task is {settings.task!r}, but teacher is {self.name}, a model of {task.name}; leave task out")
        if settings.targets != task.targets:
            theirs, mine = (listed([repr(name) for name in names], 6) for names in (task.targets, settings.targets))
            raise OptionError(
                f"teacher is {self.name}, which predicts {theirs}, but the target is {mine}; give the same target, or fit "
                "without teacher"
            )
        prepared = prepare_as(self.model, self.name, "teacher", table, settings)
        if difference := prepared.task.difference(task):
            raise OptionError(f"teacher is {self.name}, but {difference}; give rows with all of them and no others, or another")
        return prepared

    def training_outputs(self, features: pl.DataFrame, prepared: Prepared, parts: Split, task: Task, seed: int) -> np.ndarray:
        self._task = task
        known = self._out_of_bag(prepared)
        if known is None:
            return self.outputs(features[parts.train])
        outputs = task.align(known[parts.train], self.model.task)
        if (unknown := np.isnan(outputs).any(axis=1)).any():
            outputs[unknown] = self.outputs(features[parts.train[unknown]])
        return outputs

    def outputs(self, features: pl.DataFrame) -> np.ndarray:
        features = features.select(column.name for column in self.model.schema.features)
        return self._task.align(self.model.outputs(features, checked=True), self.model.task)

    def fitted_to_validation(self, prepared: Prepared, parts: Split, settings: Settings) -> bool | None:
        card, sides = self.model.card, {"train": len(parts.train), "validation": len(parts.validation)}
        if not self._same_rows(prepared):
            return None
        same = card["settings"]["seed"] == settings.seed and sides.items() <= card["split"].items()
        return card["split"]["out_of_bag"] or not same

    def _same_rows(self, prepared: Prepared) -> bool:
        return self.model.card.get("data", {}).get("fingerprint") == fingerprint(prepared.table)

    def _out_of_bag(self, prepared: Prepared) -> np.ndarray | None:
        """Its outputs out of fold or out of bag for the prepared rows, which it has until it is saved."""
        known = self.model.predictor.out_of_bag
        return known if known is not None and len(known) == len(prepared.table) and self._same_rows(prepared) else None


class StoredTeacher(Teacher):
    """The teacher of a run that has only its outputs.

    Args:
        content: Its :meth:`to_json`.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content, self.name = content, str(content.get("model"))

    def to_json(self) -> dict[str, Any]:
        return dict(self.content)

    def training_outputs(self, features: pl.DataFrame, prepared: Prepared, parts: Split, task: Task, seed: int) -> np.ndarray:
        return self.outputs(features)

    def outputs(self, features: pl.DataFrame) -> np.ndarray:
        raise RunError(f"the run ended before the teacher {self.name} had predicted its rows; fit again, in another folder")


@dataclass(frozen=True, eq=False)
class DistillationData:
    """What a student learns.

    Attributes:
        data: The encoded split: training rows with softened targets, then perturbed rows.
        validation: The teacher's outputs for the validation rows (N, size).
        perturbed: Number of perturbed rows.
        teacher: Who it is, as JSON.
        notes: Sentences about the teacher that a person should read.
    """

    data: EncodedSplit
    validation: np.ndarray
    perturbed: int
    teacher: Mapping[str, Any]
    notes: tuple[str, ...]

    def to_json(self, task: Task, outputs: np.ndarray) -> dict[str, Any]:
        """The teacher in the card of a student with these outputs for the validation rows."""
        fidelity = {
            name: value if math.isfinite(value) else None for name, value in task.fidelity(outputs, self.validation).items()
        }
        return {**self.teacher, "perturbed_rows": self.perturbed, "fidelity": fidelity}


def settings_of(model: Model, **changed: Any) -> Settings:
    """The settings of a student of a model: those of its fit, but for those that are given and those that choose a model."""
    content = model.card.get("settings")
    settings = Settings(model.task.targets) if content is None else Settings.from_json({**content, "family": "auto"})
    choosing = {"recipe": None, "time_limit": None, "quality": Settings.quality}
    return dataclasses.replace(settings, kinds=None, task=model.task.name, **{**choosing, **changed})


def student_family(settings: Settings, prepared: Prepared, teacher: Teacher) -> tuple[Family, str]:
    """The family of a student and why: for "auto" the network for these columns, without the members that make it slow.

    Raises:
        OptionError: It is no network.
    """
    if isinstance(asked := check_family(settings.family), Auto):
        family, _ = asked.choose(prepared.schema)
        if isinstance(family, FeedForward) and family.members == "auto":
            family = dataclasses.replace(family, members=1)
        return family.check(), f"a single network learns the predictions of {teacher.name}"
    family, why = choose_family(asked, prepared.schema)
    if not isinstance(family, NetworkFamily):
        raise OptionError(
            f"family is {family.name!r}, but only a network learns from a teacher; take family='auto' or a network such as "
            "'feedforward', or fit without teacher"
        )
    return family, why


def distillation_data(
    teacher: Teacher,
    family: Family,
    given: Rows,
    settings: Settings,
    *,
    run: Run | None = None,
    deadline: float = math.inf,
) -> DistillationData:
    """The rows that a student learns, encoded, with the teacher's outputs; these are stored in the run, or taken from there.

    Raises:
        OptionError: The loss is a function, which would read probabilities in place of classes.
        DataError: The teacher cannot predict these rows, or predicts what is no number.
        RunError: The run cannot be written, or its outputs are damaged.
    """
    if not isinstance(settings.recipe.loss, str):
        raise OptionError(
            f"recipe.loss is {shortened(settings.recipe.loss)}, but a student learns probabilities, which only lamina's losses "
            "read; leave it at 'auto', or fit without teacher"
        )
    prepared, parts, task = given.prepared, given.parts, given.task
    data = given.encoded(family.encoding())
    with rows_numbered_as(prepared.source, prepared.schema):
        features, _ = prepared.schema.check(prepared.table, notes=False)
    train = features[parts.train]
    perturbed = _PerturbedRows(train, prepared.schema, settings.seed)
    outputs = None if run is None else run.load_arrays(TEACHER_OUTPUTS)
    if outputs is None:
        outputs = _teacher_outputs(teacher, features, given, settings.seed, perturbed, deadline)
        outputs["note"] = np.array(_note(teacher, given, settings))
        if run is not None:
            run.save_arrays(TEACHER_OUTPUTS, outputs)
    known, extra, validation, note = (outputs.get(name, np.empty(0)) for name in ("train", "perturbed", "validation", "note"))
    shapes = [(len(parts.train), task.size), (len(extra), task.size), (len(parts.validation), task.size)]
    if run is not None and [values.shape for values in (known, extra, validation)] != shapes:
        raise run.damaged(f"{TEACHER_OUTPUTS} has the outputs of other rows")
    rows, source = perturbed.rows(len(extra))
    old = data.train
    targets = task.soften(old.targets, known, SHARE)
    if len(extra):
        more = task.soften({name: block[source] for name, block in old.targets.items()}, extra, 1.0)
        blocks = _joined(old.blocks, data.encoder.transform(rows))
        weight = None if old.weight is None else np.concatenate([old.weight, old.weight[source]])
        encoded = Encoded(blocks, old.inputs, _joined(targets, more), weight)
    else:
        encoded = dataclasses.replace(old, targets=targets)
    notes = (str(note),) if note.size and str(note) else ()
    return DistillationData(dataclasses.replace(data, train=encoded), validation, len(extra), teacher.to_json(), notes)


def _note(teacher: Teacher, given: Rows, settings: Settings) -> str:
    """A sentence on validation rows that the teacher was fitted to; empty if it was not."""
    fitted = teacher.fitted_to_validation(given.prepared, given.parts, settings)
    if fitted is None:
        return f"scores are slightly too good if {teacher.name} was fitted to some of the validation rows, which is not known"
    return f"the validation rows are training rows of {teacher.name}, so the scores may be slightly too good" if fitted else ""


def _teacher_outputs(
    teacher: Teacher, features: pl.DataFrame, given: Rows, seed: int, perturbed: _PerturbedRows, deadline: float
) -> dict[str, np.ndarray]:
    """The teacher's outputs for training, perturbed and validation rows."""
    train = teacher.training_outputs(features, given.prepared, given.parts, given.task, seed)
    validation = teacher.outputs(features[given.parts.validation])
    began, limit = time.monotonic(), TIME * (deadline - time.monotonic())
    rows, _ = perturbed.rows(perturbed.most)
    chunks: list[np.ndarray] = []
    for start in range(0, len(rows), CHUNK):
        if time.monotonic() - began > limit:
            break
        chunks.append(teacher.outputs(rows[start : start + CHUNK]))
    more = np.concatenate(chunks) if chunks else np.empty((0, given.task.size))
    outputs = {"train": train, "perturbed": more, "validation": validation}
    for values in outputs.values():
        if not np.isfinite(values).all():
            raise DataError(
                f"teacher is {teacher.name}, which predicts {values[~np.isfinite(values)][0]} for some rows; expected numbers"
            )
    return outputs


class _PerturbedRows:
    """Copies of training rows with cells of plain columns from other rows; the first rows are the same for any number."""

    def __init__(self, train: pl.DataFrame, schema: Schema, seed: int) -> None:
        self._train, self._seed = train, seed
        self._names = [column.name for column in schema.plain]
        self._rich = len(self._names) < train.width

    @property
    def most(self) -> int:
        """The number of perturbed rows that the training rows suggest; beside images, texts or series at most one for each."""
        count = len(self._train)
        if len(self._names) + self._rich < 2:  # a single cell is that of another row
            return 0
        copies = 1 if self._rich else min(MOST_COPIES, max(1, round(ENOUGH / count) - 1))
        return copies * count

    def rows(self, most: int) -> tuple[pl.DataFrame, np.ndarray]:
        """The first perturbed rows, and the training row that each is a copy of."""
        count = len(self._train)
        parts, sources = [self._train[:0]], [np.empty(0, dtype=np.int64)]
        for copy in range(-(-most // count)):
            random = np.random.default_rng([self._seed, copy])
            source = np.arange(count)
            columns = {}
            for name in self._names:
                other = np.where(random.random(count) < SWAPPED, random.integers(count, size=count), source)
                columns[name] = self._train[name].gather(other)
            parts.append(self._train.with_columns(**columns))
            sources.append(source)
        return pl.concat(parts)[:most], np.concatenate(sources)[:most]


def _joined(first: Any, second: Any) -> dict[str, np.ndarray]:
    return {name: np.concatenate([block, second[name]]) for name, block in first.items()}
