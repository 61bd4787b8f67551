"""Distillation: the student of an estimator, see :mod:`lamina.fitting.distill`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from lamina import runs
from lamina.families import Auto, Family
from lamina.fitting.distill import settings_of
from lamina.fitting.settings import Recording, Settings
from lamina.model import Model
from lamina.options import known_options
from lamina.starting import model_teacher
from lamina.train.events import Monitor
from lamina.train.recipe import Recipe


class Distillation(BaseEstimator, ABC):
    """The student of an estimator: ``distill``."""

    model_: Model

    @classmethod
    @abstractmethod
    def from_model(cls, model: Model, requested: Settings | None = None) -> Self:
        """The fitted estimator of a model."""

    @known_options
    def distill(
        self,
        data: Any,
        *,
        family: Family | Auto | str = "auto",
        recipe: Recipe | None = None,
        time_limit: float | None = None,
        run: str | Path | None = None,
        monitor: Monitor | str | None = "auto",
    ) -> Self:
        """Fit a small and quick network, the student, to the predictions of this model, its teacher (distillation).

        The student learns the teacher's probabilities or values for the training rows, mixed half and half with the target, and
        for perturbed rows, in which some cells are those of other rows (Hinton et al. 2015, arXiv 1503.02531; Bucila et al.
        2006; Fakoor et al. 2020, arXiv 2006.14284). The columns, their kinds and other settings are those of this model. Right
        after its fit an ensemble or forest has predictions of the training rows by those of its parts that were not fitted to
        them; the student then learns these. In a file there are none, so ``lamina.load(...).distill(...)`` learns predictions
        of training rows that are too sure, as with any other family; the target and perturbed rows limit the harm.

        Validation rows stop the training and are scored with their true target; the card has how much the student is like its
        teacher on them (``card["teacher"]["fidelity"]``): the share of equal decisions, or R².

        Args:
            data: A path or frame with the columns and the target of this model: its training rows, or more of them.
            family: The student: "auto" is the network for these columns, for plain ones a single network (``members=1``).
            recipe: Training options of the student; None is ``Recipe()``.
            time_limit: Seconds that the call may take, reading aside.
            run: Folder of events, checkpoints and the teacher's predictions, for :func:`lamina.resume`.
            monitor: As for :func:`lamina.fit`.

        Returns:
            A fitted estimator of the same class, with these options.

        Raises:
            SchemaError: A column is missing, or the teacher does not know it.
            OptionError: The classes are not those of the teacher, or the family is no network.

        Example:
            >>> import lamina
            >>> rows = {"x": [i / 100 for i in range(300)], "y": ["low"] * 150 + ["high"] * 150}
            >>> forest = lamina.fit(rows, "y", family="forest", monitor=None)
            >>> student = forest.distill(rows, recipe=lamina.Recipe(epochs=5), monitor=None)
            >>> student.model_.family, student.model_.card["teacher"]["fidelity"]["agreement"] > 0.9
            ('feedforward', True)
        """
        check_is_fitted(self)
        recording = Recording(run, monitor).check()
        settings = settings_of(self.model_, family=family, recipe=recipe, time_limit=time_limit).check()
        teacher = model_teacher(self)
        table, settings = runs.read(data, settings)
        folder = None if recording.run is None else runs.start_run(recording.run, data, table, settings, teacher=teacher)
        return self.from_model(runs.finish(table, settings, run=folder, monitor=monitor, teacher=teacher), settings)
