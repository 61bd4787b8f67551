"""How each sort of family is trained: networks epoch by epoch, classical families at once."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamina.data.encode import Encoder
from lamina.data.encoders import Encoders
from lamina.data.feed import Feed, as_tensor
from lamina.errors import OptionError
from lamina.families.classical.family import ClassicalFamily, Fitting
from lamina.families.classical.multi_output import fit_classical
from lamina.families.family import NetworkFamily
from lamina.families.predictor import Predictor
from lamina.fitting.encoded import EncodedSplit
from lamina.fitting.settings import Settings
from lamina.fitting.split import Split
from lamina.fitting.warm import WarmStart
from lamina.graph.net import Net
from lamina.graph.plan import Plan
from lamina.model import Network
from lamina.tasks.losses import find_loss
from lamina.tasks.task import Task
from lamina.train.at_once import together
from lamina.train.callbacks import Hooks
from lamina.train.events import Fit, StopReason
from lamina.train.forward import Validation
from lamina.train.frozen import compute_frozen
from lamina.train.history import History
from lamina.train.loop import Edit, train, train_for
from lamina.train.population import Member, may_be_packed, train_together
from lamina.train.recipe import Recipe
from lamina.train.run import Run
from lamina.train.threads import available_threads


@dataclass(frozen=True, eq=False)
class Trained:
    """A predictor, its history, and the blocks of training and validation rows in the form that it takes.

    Nothing is encoded, and nothing frozen computed, a second time for the scores and for what trust is fitted to. ``outputs``
    are those by which the validation rows are scored (N, size), where they are not simply the predictor's.
    """

    predictor: Predictor
    history: History
    train: Mapping[str, Any]
    validation: Mapping[str, Any]
    outputs: np.ndarray | None = None


class Training:
    """Base of what fits a family to encoded rows.

    Attributes:
        why: Why the family was chosen, where this chose it.
        later_notes: Notes that are known after the fit only.
        candidates: A JSON object for each candidate, where there were some.
        parts: The training and validation rows of the model where they are not those that were given: of a part of the rows.
        refitted: The encoder and predictor of the model where they were fitted once more, to training and validation rows; what
            :meth:`run` returned before is what scores and trust are fitted to.
    """

    parts: Split | None = None
    refitted: tuple[Encoder | Encoders, Predictor] | None = None
    why: str = ""
    later_notes: tuple[str, ...] = ()
    candidates: Sequence[Mapping[str, Any]] = ()


class NetworkTraining(Training):
    """A network with encoded rows, ready to be trained: mini-batches, epochs and early stopping.

    Attributes:
        family: The family with every "auto" option decided.
        recipe: The recipe with every "auto" decided.
        kept: With ``keep``, the outputs for the validation rows after each epoch, where they are few
            and the loss decides the best epoch; after :meth:`run`.
        notes: Sentences that a person should read.
        net: The network before training.
    """

    def __init__(
        self,
        family: NetworkFamily,
        data: EncodedSplit,
        task: Task,
        settings: Settings,
        device: torch.device,
        warm: WarmStart | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self.kept: Sequence[np.ndarray] = ()
        self._keep = keep
        inputs, rows = data.encoder.inputs, len(data.train)
        family, device_note = family.suited(inputs, device.type, rows) if warm is None else (family, "")
        recipe = settings.recipe if warm is None else warm.recipe(settings.recipe, task)
        self.recipe = family.complete(recipe, rows=rows, inputs=inputs, task=task, device=device.type)
        self.family = family
        if warm is None:
            self.net = Net(Plan(family.graph(inputs, task.head(self.recipe.loss))), seed=settings.seed)
            self.net.prepare({name: as_tensor(block) for name, block in data.train.blocks.items()})
            self.notes = (device_note, family.without_effect(inputs), *family.initialise(self.net, data.encoder))
        else:
            self.net, note = warm.net(task, self.recipe.loss, settings.seed)
            self.notes = (note,)
        self.net.to(device)
        self._feeds = tuple(Feed(s.blocks, s.targets, s.weight, device=device) for s in (data.train, data.validation))
        self.encoder, self.notes = data.encoder, (*data.notes, *self.notes)
        self._task, self._seed = task, settings.seed

    @functools.cached_property
    def together(self) -> bool:
        """Whether its fits to several folds are trained as a population."""
        return may_be_packed(self.net, self._feeds[0], self.recipe)

    def run(self, *, run: Run | None, hooks: Hooks, edit: Edit | None) -> Trained:
        """Train until the recipe, early stopping or a callback ends it."""
        feed, validation = self._without_frozen(edit)
        loss = find_loss(self.recipe.loss)
        metric = None if self.recipe.metric == "loss" else self._task.metric(self.recipe.metric)
        keep = self._keep and metric is None and not self._mirrored()
        watch = Validation(validation, self._task, loss, metric, keep=keep)
        trained = None
        if edit is None and (run is None or run.load_checkpoint() is None):
            member = Member(self.net, feed, watch, self.recipe, self._seed, hooks, run)
            trained = together(train_together, member)
        if trained is None:
            trained = train(self.net, feed, watch, recipe=self.recipe, seed=self._seed, run=run, hooks=hooks, edit=edit)
        net, history = trained
        if len(watch.kept) == len(history.epochs):  # not where training was resumed
            self.kept = watch.kept
        return self._trained(net, history, feed, validation)

    def run_for(self, epochs: int, hooks: Hooks) -> Trained:
        """Train for so many epochs; the validation rows, which may be among the training rows, decide nothing."""
        began = time.monotonic()
        feed, validation = self._without_frozen(None)
        net = train_for(self.net, feed, epochs, recipe=self.recipe, seed=self._seed, hooks=hooks)
        history = History(stopped=StopReason.FITTED, seconds=time.monotonic() - began, recipe=self.recipe)
        return self._trained(net, history, feed, validation)

    def _without_frozen(self, edit: Edit | None) -> tuple[Feed, Feed]:
        """Training and validation rows, with what frozen layers make of them."""
        feed, validation = self._feeds
        if self.recipe.augment or edit is not None:  # the images, or what is frozen, may change from epoch to epoch
            return feed, validation
        return compute_frozen(self.net, feed), compute_frozen(self.net, validation)

    def _trained(self, net: Net, history: History, feed: Feed, validation: Feed) -> Trained:
        outputs_of = find_loss(self.recipe.loss).outputs_of
        return Trained(Network(net, outputs_of, self._mirrored()), history, feed.inputs, validation.inputs)

    def _mirrored(self) -> tuple[str, ...]:
        """The images that training mirrors, so that predictions are the mean over an image and its mirror image."""
        if "flip" not in (self.recipe.augment or ()):
            return ()
        inputs = self.encoder.inputs
        return tuple(name for name in self.net.plan.inputs if name in inputs and inputs[name].kind == "image")


class ClassicalTraining(Training):
    """A classical family with encoded rows, ready to be fitted without epochs; attributes as :class:`NetworkTraining`."""

    net = None

    def __init__(self, family: ClassicalFamily, data: EncodedSplit, task: Task, settings: Settings, hooks: Hooks) -> None:
        self.family, self.recipe = family, settings.recipe
        plain, effective = Recipe().get_params(), ("threads",) if isinstance(self.recipe.metric, str) else ("threads", "metric")
        effective += ("time_limit",) if family.stops_in_time else ()
        unused = [name for name, value in self.recipe.get_params().items() if value != plain[name] and name not in effective]
        note = f"{family.name} is no network: {', '.join(unused)} of the recipe has no effect" if unused else ""
        self.notes = (note, family.without_effect(data.encoder.inputs), *hooks.never_called(family.name))
        self.encoder, self.notes = data.encoder, (*data.notes, *self.notes)
        self._data, self._task, self._seed = data, task, settings.seed

    def run(self, *, run: Run | None, hooks: Hooks, edit: Edit | None) -> Trained:
        """Fit; there is nothing to resume, to stop or to edit."""
        began, data, task = time.monotonic(), self._data, self._task
        limit = self.recipe.time_limit if self.family.stops_in_time else None
        rows = data.train.plain()
        predictor = fit_classical(
            self.family,
            rows,
            rows if data.validation is data.train else data.validation.plain(),
            list(zip(task.learnables(data.train.targets), task.learnables(data.validation.targets), strict=True)),
            Fitting(
                self._seed,
                int(self.recipe.threads or available_threads()),
                lambda done: hooks.emit(Fit(done)),
                math.inf if limit is None else began + limit,
            ),
        )
        history = History(stopped=StopReason.FITTED, seconds=time.monotonic() - began, recipe=self.recipe)
        return Trained(predictor, history, data.train.blocks, data.validation.blocks)


def choose_device(device: str) -> torch.device:
    """The device of that name, "auto" a GPU where there is one; OptionError if there is no such device here."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).cpu()  # meta tensors have no values
    except (RuntimeError, AssertionError, ImportError, Warning) as error:
        raise OptionError(f"device {device!r} cannot be used here; take 'cpu' or 'auto'") from error
    return chosen
