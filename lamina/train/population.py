"""Populations: networks of one graph that are trained as one program.

A step of a small network takes longer to call than to compute. The parameters of a population are packed as (members, ...),
so that each kernel computes for all members, and the cores share its work. The packed step is recorded and replayed like that
of one network (:mod:`lamina.train.trace`), and one update of the optimizer is for all. Each member has its own rows and their
order, validation rows, history and early stopping, and is what it is when trained alone, up to rounding.
"""

from __future__ import annotations

import copy
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lamina.data.feed import Feed
from lamina.errors import TrainingError
from lamina.graph.net import Net
from lamina.graph.random import drawing_from
from lamina.train.at_once import interruptible
from lamina.train.callbacks import Hooks
from lamina.train.events import Epoch, StopReason
from lamina.train.forward import Validation
from lamina.train.history import History
from lamina.train.loop import copy_of, epoch_order, save
from lamina.train.recipe import Recipe
from lamina.train.run import Run
from lamina.train.schedules import make_schedule
from lamina.train.step import Trainer
from lamina.train.threads import multiplications_of_step, thread_count, threads

MOST_MULTIPLICATIONS = 2_000_000
"""Multiplications in the forward pass of a step of one network up to which a population is faster than two processes
(``python -m benchmarks population``). Not measured in each fit: whether a network was packed changes the last bits of it."""
SHRINK = 2 / 3
"""A population is packed anew when at most this share of its members is still trained."""


@dataclass(frozen=True, eq=False)
class Member:
    """What :func:`lamina.train.loop.train` is given for one network."""

    net: Net
    feed: Feed
    validation: Validation
    recipe: Recipe
    seed: int
    hooks: Hooks
    run: Run | None = None  # gets events and checkpoint when training has ended


def train_together(members: Sequence[Member]) -> list[tuple[Net, History] | Exception | None]:
    """Train networks, those that fit together as a population.

    Returns:
        For each the network with its best weights and the history, the error that ended its training, or None where it has to
        be trained alone.
    """
    results: list[tuple[Net, History] | Exception | None] = [None] * len(members)
    left = [place for place, member in enumerate(members) if may_be_packed(member.net, member.feed, member.recipe)]
    while left:
        first = members[left[0]]
        alike = [place for place in left if _fit_together(first, members[place])]
        left = [place for place in left if place not in alike]
        if len(alike) > 1 and (trained := _Population([members[place] for place in alike]).train()):
            for place, result in zip(alike, trained, strict=True):
                results[place] = result
    return results


def may_be_packed(net: Net, feed: Feed, recipe: Recipe) -> bool:
    """Whether the step of a population could be that of this network, and is faster than two networks at once."""
    return (
        feed.device.type == "cpu"
        and recipe.step_mode in ("auto", "traced")
        and recipe.optimizer != "muon"  # it has a formula for matrices
        and recipe.clip_norm is None  # the norm of one member
        and recipe.schedule != "plateau"  # depends on the validation rows of a member
        and recipe.learning_rate != "find"
        and recipe.precision == "float32"
        and not recipe.augment
        and not recipe.threads
        and multiplications_of_step(net, feed, int(recipe.batch_size)) <= MOST_MULTIPLICATIONS
    )


def _fit_together(one: Member, other: Member) -> bool:
    """Whether two networks make the same steps on tensors of the same shapes."""
    return (
        one.net.plan.graph == other.net.plan.graph
        and dataclasses.replace(one.recipe, time_limit=None) == dataclasses.replace(other.recipe, time_limit=None)
        and _layout(one.feed) == _layout(other.feed)
        and _steps(one) == _steps(other)
    )


def _layout(feed: Feed) -> list[tuple[str, torch.Size, torch.dtype] | bool]:
    blocks = [*feed.inputs.items(), *feed.targets.items()]
    return [*((name, block.shape[1:], block.dtype) for name, block in blocks), feed.weight is None]


def _steps(member: Member) -> tuple[int, int, bool]:
    """Rows of a batch, number of full batches in an epoch, and whether there is a smaller one."""
    batch, rows = min(int(member.recipe.batch_size), len(member.feed)), len(member.feed)
    return batch, rows // batch, rows % batch > 0


class _Packed(nn.Module):
    """Networks of one graph as a module whose parameters and buffers are (members, *shape).

    Args:
        nets: The networks.
        counts: The rows of a full batch, and for each network those of the last batch of an epoch.
    """

    last: Tensor
    totals: Tensor

    def __init__(self, nets: Sequence[nn.Module], counts: tuple[int, Sequence[int]]) -> None:
        super().__init__()
        self.members, self.batch = len(nets), counts[0]
        self.net = copy.deepcopy(nets[0])
        self._stack(nets)
        self.register_buffer("last", torch.tensor(counts[1], dtype=torch.float32))
        self.register_buffer("totals", torch.zeros(len(nets)))

    def _stack(self, nets: Sequence[nn.Module]) -> None:
        """Replace each parameter and buffer by those of the networks; a shared one stays shared."""
        made: dict[int, Tensor] = {}
        for name, module in self.net.named_modules():
            others = [net.get_submodule(name) for net in nets]
            for kind in ("_parameters", "_buffers"):
                for key, value in getattr(module, kind).items():
                    if value is None:
                        continue
                    if id(value) not in made:
                        stacked = torch.stack([getattr(other, kind)[key].detach() for other in others])
                        made[id(value)] = nn.Parameter(stacked, value.requires_grad) if kind == "_parameters" else stacked
                    getattr(module, kind)[key] = made[id(value)]

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The outputs (members, rows, ...) for inputs (members * rows, ...)."""
        values = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        return vmap(lambda own, batch: functional_call(self.net, own, (batch,)))(values, self._split(inputs))

    def loss_of(self, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The sum of the members' losses; adds the loss of each, times its rows, to ``totals``."""

        def summed(outputs: Tensor, targets: dict[str, Tensor], weight: Tensor | None) -> Tensor:
            own = None if weight is None else weight.unflatten(0, (self.members, -1))
            losses = vmap(loss, in_dims=(0, 0, None if own is None else 0))(outputs, self._split(targets), own)
            rows = self.last if outputs.shape[1] < self.batch else torch.full_like(self.last, self.batch)
            self.totals.add_(losses.detach() * rows)
            return losses.sum()

        return summed

    def _split(self, blocks: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: block.unflatten(0, (self.members, -1)) for name, block in blocks.items()}

    def put(self, place: int, net: Net) -> None:
        """Copy the values of a member into a network."""
        with torch.no_grad():
            for ours, theirs in zip(self.net.parameters(), net.parameters(), strict=True):
                theirs.copy_(ours[place])
            for ours, theirs in zip(self.net.buffers(), net.buffers(), strict=True):
                theirs.copy_(ours[place])


@contextmanager
def _no_fallback() -> Iterator[None]:
    """Within, a kernel that vmap can only call for one member after the other is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        yield


class _Population:
    """The training of networks that fit together.

    Attributes:
        packed: The places of the members that are packed; those whose training has ended are computed in vain.
        active: The places of those that are trained.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.batch, self.full, rest = _steps(members[0])
        limits = [member.recipe.time_limit for member in members if member.recipe.time_limit is not None]
        threads = thread_count(members[0].net, members[0].feed, self.batch, len(members))
        self.recipe = dataclasses.replace(members[0].recipe, threads=threads, time_limit=min(limits, default=None))
        self.schedule = make_schedule(self.recipe, self.full + rest)
        self.best = [copy_of(member.net) for member in members]
        self.histories = [History(recipe=self.recipe) for _ in members]
        self.records: list[list[Epoch]] = [[] for _ in members]
        self.packed = self.active = list(range(len(members)))

    def train(self) -> list[tuple[Net, History] | Exception] | None:
        """Train to the end; None where the step cannot be recorded."""
        with threads(int(self.recipe.threads or 1)), drawing_from(None), interruptible() as interrupted:
            try:
                net, trainer = self._pack([member.net for member in self.members])
            except Exception:  # a module that cannot be packed
                return None
            epoch, since, limit = 0, time.monotonic(), self.recipe.time_limit

            def tick(step: int) -> bool:
                late = limit is not None and time.monotonic() - since > limit
                return late or interrupted.is_set() or (not epoch and bool(trainer.why_eager))

            while self.active:
                clock, rates = time.perf_counter(), self.schedule.rates(epoch)
                net.totals.zero_()
                try:
                    with _no_fallback():
                        ended = trainer.run_epoch(self._order(epoch), rates, tick) is None
                except Exception:
                    if epoch:
                        raise
                    return None
                if trainer.why_eager and not epoch:
                    return None
                train_seconds = (time.perf_counter() - clock) / len(self.active)
                with trainer.optimizer.averaged():
                    self._put(net)
                for place, total in zip(self.packed, net.totals.tolist(), strict=True):
                    if place in self.active:
                        loss = None if ended else total / len(self.members[place].feed)
                        self._observe(place, epoch, loss, rates, train_seconds, since, interrupted.is_set())
                self.active = [place for place in self.active if not self.histories[place].stopped]
                if self.active and len(self.active) <= SHRINK * len(self.packed):
                    net, trainer = self._shrunk(net, trainer)
                epoch += 1
        return [self._result(place) for place in range(len(self.members))]

    def _put(self, packed: _Packed) -> None:
        """Copy the weights of the members that are trained into their networks."""
        for at, place in enumerate(self.packed):
            if place in self.active:
                packed.put(at, self.members[place].net)

    def _observe(
        self, place: int, epoch: int, loss: float | None, rates: list[float], seconds: float, since: float, interrupted: bool
    ) -> None:
        """Score a member after an epoch."""
        member, history = self.members[place], self.histories[place]
        record = history.observe(
            epoch, member.net, member.validation, loss=loss, rates=rates, train_seconds=seconds, since=since
        )
        if record.best:
            self.best[place] = copy_of(member.net)
        history.stopped = history.why_stop(interrupted=interrupted)
        self.records[place].append(record)
        if member.hooks and loss is not None:
            member.net.eval()
            member.hooks.emit(record)

    def _result(self, place: int) -> tuple[Net, History] | Exception:
        member, history = self.members[place], self.histories[place]
        net = member.net
        try:
            history.check_finite()
        except TrainingError as error:
            return error
        if member.run and history.stopped is not StopReason.INTERRUPTED:
            for record in self.records[place]:
                member.run.write(record)
            trainer = Trainer(net, member.feed, self.recipe)  # the state of its optimizer is not used any more
            save(member.run, net, trainer, best=self.best[place], history=history, schedule=self.schedule)
            trainer.optimizer.parameters.release()
        net.load_state_dict(self.best[place])
        net.eval()
        return net, history

    def _pack(self, nets: Sequence[nn.Module]) -> tuple[_Packed, Trainer]:
        """The networks of the packed members as one, and its trainer, whose feed are the rows of all."""
        feeds = [self.members[place].feed for place in self.packed]
        rests = [len(feed) - self.full * self.batch for feed in feeds]
        padded = max(rests) > min(rests)
        inputs, targets = (
            {
                name: torch.cat([*(getattr(feed, side)[name] for feed in feeds), *([block[:1]] if padded else [])])
                for name, block in getattr(feeds[0], side).items()
            }
            for side in ("inputs", "targets")
        )
        weight = None
        if padded or feeds[0].weight is not None:  # a row without weight makes a batch full
            weights = [torch.ones(len(feed)) if feed.weight is None else feed.weight for feed in feeds]
            weight = torch.cat([*weights, *([torch.zeros(1)] if padded else [])])
        packed = _Packed(nets, (self.batch, rests))
        recipe = dataclasses.replace(self.recipe, batch_size=self.batch * len(nets), step_mode="traced")
        trainer = Trainer(packed, Feed(inputs, targets, weight), recipe, members=True)
        trainer.loss = packed.loss_of(trainer.loss)
        return packed, trainer

    def _order(self, epoch: int) -> Tensor:
        """The rows of an epoch, batch by batch, each with the batches of all members one after the other."""
        full, rest, first = [], [], 0
        for place in self.packed:
            member = self.members[place]
            order = epoch_order(member.feed, member.seed, epoch) + first
            first += len(order)
            full.append(order[: self.full * self.batch].view(self.full, self.batch))
            rest.append(order[self.full * self.batch :])
        longest = max(len(rows) for rows in rest)
        rest = [torch.cat([rows, rows.new_full((longest - len(rows),), first)]) for rows in rest]
        return torch.cat([torch.stack(full, 1).flatten(), *rest])

    def _shrunk(self, net: _Packed, trainer: Trainer) -> tuple[_Packed, Trainer]:
        """The members that are still trained, with their weights and the state of the optimizer."""
        self._put(net)
        kept = torch.tensor([self.packed.index(place) for place in self.active])
        self.packed = self.active
        packed, new = self._pack([self.members[place].net for place in self.packed])
        before, after = trainer.optimizer.state_dict(), new.optimizer.state_dict()
        for name, state in after.items():
            if state.ndim:
                parts = trainer.optimizer.parameters.parts(before[name]), new.optimizer.parameters.parts(state)
                for old, part in zip(*parts, strict=True):
                    part.copy_(old[kept])
            else:
                state.copy_(before[name])
        new.optimizer.load_state_dict(after)
        return packed, new
