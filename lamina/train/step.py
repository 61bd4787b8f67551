"""The training step: gather a batch, forward, backward, update, without device synchronisation.

Three modes give the same numbers:

- *eager*: plain PyTorch; works for every network.
- *traced*: recorded once and replayed as kernel calls (:mod:`lamina.train.trace`); for small nets on a CPU.
- *cuda_graph*: the whole step, gather and optimizer included, as one CUDA graph.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lamina.errors import OptionError, TrainingError
from lamina.graph.random import current_generator
from lamina.tasks.losses import find_loss
from lamina.train.augment import Augment
from lamina.train.optimizers import make_optimizer
from lamina.train.parameters import FlatParameters
from lamina.train.recipe import Recipe
from lamina.train.replay import Replay, write_replay
from lamina.train.threads import denormals_flushed
from lamina.train.trace import Untraceable, describe, record

if TYPE_CHECKING:
    from lamina.data.feed import Feed

TRACE_AFTER = 16  # eager steps of one shape before it is traced
TICK_SECONDS = 0.05

Tick = Callable[[int], bool]


class _Step:
    """Steps of one size. Their rows are in tensors with a fixed address; those of the feed itself for a full batch."""

    def __init__(self, trainer: Trainer, size: int) -> None:
        self.trainer, self.size = trainer, size
        self.flat = trainer.optimizer.parameters
        self.source = ""  # of the replay
        feed = trainer.feed
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self.inputs = {name: self._place(block, name in trainer.changes) for name, block in feed.inputs.items()}
        self.targets = {name: self._place(block) for name, block in feed.targets.items()}
        self.weight = None if feed.weight is None else self._place(feed.weight)

    def _place(self, block: Tensor, changed: bool = False) -> Tensor:
        if self.size == len(block) and not changed:
            return block
        self._pairs.append((block, block.new_empty((self.size, *block.shape[1:]))))
        return self._pairs[-1][1]

    def gather(self, rows: Tensor) -> None:
        """Copy these rows of the feed, and augment them."""
        for block, tensor in self._pairs:
            torch.index_select(block, 0, rows, out=tensor)
        for name, change in self.trainer.changes.items():
            change(self.inputs[name])

    def compute(self) -> Tensor:
        """The loss of the batch."""
        half = self.trainer.precision == "bfloat16"
        with torch.autocast(self.trainer.feed.device.type, torch.bfloat16, enabled=half):
            outputs = self.trainer.net(self.inputs)
        return self.trainer.loss(outputs.float() if half else outputs, self.targets, self.weight)

    def eager(self) -> Tensor:
        """Write the gradients into the flat gradient and return the loss."""
        with torch.inference_mode(False), torch.enable_grad():
            loss = self.compute()
            gradients = torch.autograd.grad(loss, self.flat.parameters, allow_unused=True)
        self.put(gradients)
        return loss.detach()

    def put(self, gradients: Sequence[Tensor | None]) -> None:
        for target, gradient in zip(self.flat.gradients, gradients, strict=True):
            target.zero_() if gradient is None else target.copy_(gradient)


class _CPUStep(_Step):
    """Eager for the first steps, then recorded, checked once and replayed."""

    def __init__(self, trainer: Trainer, size: int) -> None:
        super().__init__(trainer, size)
        self.eager_steps = {"eager": -1, "traced": 0}.get(trainer.mode, TRACE_AFTER)
        self.gradients: Callable[[], Tensor] = self.first

    def run(self, rows: Tensor, learning_rate: float) -> None:
        self.gather(rows)
        loss = self.gradients()
        self.trainer.optimizer.update(learning_rate)
        self.trainer.total.add_(loss, alpha=self.size)

    def first(self) -> Tensor:
        if self.eager_steps == 0:
            return self.record()
        self.eager_steps -= 1
        return self.eager()

    def record(self) -> Tensor:
        restore = self.snapshot()
        with torch.inference_mode(False):
            try:
                recording = record(self.compute, self.flat.parameters)
            except Exception as error:  # another torch, or the net itself, which also fails in the eager step
                self.stay_eager(f"the step cannot be recorded with torch {torch.__version__}: {describe(error)}")
                restore()
                return self.eager()
            self.put(recording.gradients)
            names = {**self.inputs, **{f"targets_{name}": block for name, block in self.targets.items()}}
            names |= ({} if self.weight is None else {"weight": self.weight}) | dict(self.trainer.net.named_buffers())
            for name, value, gradient in zip(self.flat.names, self.flat.views, self.flat.gradients, strict=True):
                names |= {name: value, f"{name}_gradient": gradient}
            loss = recording.loss.clone()  # the recording owns its memory
            try:
                replay = write_replay(recording, names, self.flat.gradients, exact=not self.trainer.members)
            except Untraceable as reason:
                self.stay_eager(str(reason))
            except Exception as error:  # another torch
                self.stay_eager(f"the step cannot be replayed with torch {torch.__version__}: {describe(error)}")
            else:
                self.gradients = lambda: self.check(replay)
        return loss

    def check(self, replay: Replay) -> Tensor:
        """Compare the replay with the eager step: detects networks that do not repeat the same operations."""
        restore, replayed = self.snapshot(), None
        failure = "the replayed step gave other numbers than the eager one"
        try:
            replayed = replay.run().clone(), self.flat.gradient.clone()
        except Exception as error:  # a kernel with other memory or arguments than recorded
            failure = f"the step cannot be replayed: {error}"
        restore()
        loss = self.eager()
        near = functools.partial(torch.allclose, rtol=1e-4, atol=1e-6, equal_nan=True)  # one member may have diverged
        same = near if self.trainer.members else torch.equal
        if replayed and same(replayed[0], loss) and same(replayed[1], self.flat.gradient):
            self.gradients, self.source = replay.run, replay.source
        else:
            self.stay_eager(failure)
        return loss

    def snapshot(self) -> Callable[[], None]:
        """Save the random state and the buffers; returns the function that restores them."""
        buffers = [(buffer, buffer.clone()) for buffer in self.trainer.net.buffers()]
        generator = current_generator() or torch.default_generator
        random = generator.get_state()

        def restore() -> None:
            generator.set_state(random)
            for buffer, before in buffers:
                buffer.copy_(before)

        return restore

    def stay_eager(self, reason: str) -> None:
        self.gradients, self.trainer.why_eager = self.eager, reason


class _GraphStep(_Step):
    """The whole step as one CUDA graph; row indices, learning rate and counters are tensors on the device."""

    def __init__(self, trainer: Trainer, size: int) -> None:
        super().__init__(trainer, size)
        self.places = torch.arange(size, device=trainer.total.device)  # of the batch in the epoch's order
        self.graph: torch.cuda.CUDAGraph | None = None

    def begin(self, first: int) -> None:
        """Set the first row of the next step, as an index into the order."""
        torch.arange(first, first + self.size, out=self.places)

    def run(self, rows: Tensor, learning_rate: float) -> None:
        if self.graph is None and not self.trainer.why_eager:
            self.capture()
        if self.graph is None:
            self.body()
        else:
            self.graph.replay()

    def body(self) -> None:
        trainer = self.trainer
        self.gather(trainer.order.index_select(0, self.places))
        loss = self.eager()
        trainer.optimizer.update(trainer.rates.index_select(0, trainer.step).view(()))
        trainer.total.add_(loss, alpha=self.size)
        trainer.step.add_(1)
        self.places.add_(self.size)

    def capture(self) -> None:
        """Capture the step after warm-up steps on a side stream, whose changes are undone.

        See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs. Other threads may use the GPU meanwhile, hence
        "thread_local".
        """
        device = self.places.device
        graph, random = torch.cuda.CUDAGraph(), torch.cuda.get_rng_state(device)
        gc.collect()  # freeing an older graph during a capture could end it
        # Not in inference mode: PyTorch's tensors of the capture (the generator's seed and offset) outlive it.
        with torch.inference_mode(False), torch.no_grad(), torch.cuda.device(device):
            tensors = [self.places, self.trainer.step, self.trainer.total, self.flat.value, self.flat.gradient]
            tensors += [*self.trainer.optimizer.state_dict().values(), *self.trainer.net.buffers()]
            before, current = [tensor.clone() for tensor in tensors], torch.cuda.current_stream(device)
            try:
                side = torch.cuda.Stream(device)
                side.wait_stream(current)
                with torch.cuda.stream(side):
                    for _ in range(3):
                        self.body()
                        for tensor, value in zip(tensors, before, strict=True):
                            tensor.copy_(value)
                current.wait_stream(side)
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    self.body()
                self.graph = graph
            except RuntimeError as error:
                _after_failed_capture(device, current)
                if self.trainer.mode == "cuda_graph":
                    raise TrainingError(f"the step cannot be a CUDA graph ({error}); set recipe.step_mode='eager'") from error
                self.trainer.stay_eager(f"the step cannot be a CUDA graph: {error}")
            finally:
                for tensor, value in zip(tensors, before, strict=True):
                    tensor.copy_(value)
                torch.cuda.set_rng_state(random, device)


def _after_failed_capture(device: torch.device, stream: torch.cuda.Stream) -> None:
    """Reset stream and generator after a failed capture, which leaves both unusable."""
    torch.cuda.set_stream(stream)
    torch.cuda.synchronize(device)
    generator = torch.cuda.default_generators[device.index or 0]
    generator.graphsafe_set_state(generator.clone_state())


class Trainer:
    """Executes the steps of epochs.

    Args:
        net: ``net(inputs) -> outputs``.
        feed: The training rows, on the device of the net.
        recipe: A recipe without "auto" but for ``step_mode``, which is then the fastest on the device.
        members: Whether the network is a population; see :class:`~lamina.train.parameters.FlatParameters`.

    Attributes:
        steps_per_epoch: Number of steps in an epoch.
        why_eager: Why steps are eager although another mode was possible, or empty.

    Raises:
        OptionError: The mode does not fit the device.
    """

    def __init__(self, net: nn.Module, feed: Feed, recipe: Recipe, *, members: bool = False) -> None:
        flat, device = FlatParameters(net, members=members), feed.device
        self.members = members
        self.net, self.feed, self.mode, self.precision = net, feed, recipe.step_mode, recipe.precision
        self.loss: Callable[..., Tensor] = find_loss(recipe.loss, huber_delta=recipe.huber_delta)
        self.optimizer = make_optimizer(flat, recipe)
        self.changes: dict[str, Augment] = {}
        if recipe.augment and not isinstance(recipe.augment, str):
            images = [name for name, block in feed.inputs.items() if block.dtype == torch.uint8 and block.dim() == 4]
            self.changes = dict.fromkeys(images, Augment(tuple(recipe.augment)))
        fitting = {"traced": "cpu", "cuda_graph": "cuda"}.get(self.mode, device.type)
        if fitting != device.type:
            raise OptionError(
                f"step_mode is {self.mode!r} on the device {device}, expected {fitting!r} for it; set step_mode='auto'"
            )
        self.batch_size = len(feed) if recipe.batch_size == "full" else min(int(recipe.batch_size), len(feed))
        self.steps_per_epoch = -(-len(feed) // self.batch_size)
        self.why_eager = ""
        self.total = torch.zeros((), dtype=torch.float64, device=device)  # losses of the epoch
        self.order = torch.zeros(len(feed), dtype=torch.int64, device=device)
        self.rates = torch.zeros(self.steps_per_epoch, device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self._on_gpu = device.type == "cuda" and self.mode != "eager"
        self._steps: dict[int, _CPUStep | _GraphStep] = {}

    def run_epoch(
        self, order: Tensor, learning_rates: Sequence[float], tick: Tick | None = None, every: float = TICK_SECONDS
    ) -> float | None:
        """Train on these rows once.

        Args:
            order: Indices of the rows, in order.
            learning_rates: The learning rate of each step.
            tick: Called with the number of finished steps; returns true to end the epoch.
            every: Seconds between two calls of ``tick``; 0 for after each step.

        Returns:
            The mean loss over the rows, or None if ``tick`` ended the epoch.
        """
        self.net.train()
        self.total.zero_()
        batches = order.split(self.batch_size)
        full, last = self._step(len(batches[0])), self._step(len(batches[-1]))
        if self._on_gpu:
            self._begin(order, learning_rates)
        due = time.perf_counter() + every
        with torch.inference_mode(), denormals_flushed():
            for number, (rows, rate) in enumerate(zip(batches, learning_rates, strict=True), 1):
                (full if number < len(batches) else last).run(rows, rate)
                if tick is not None and time.perf_counter() >= due:
                    if tick(number):
                        return None
                    due = time.perf_counter() + every
        return self.total.item() / len(order)  # sync

    def _begin(self, order: Tensor, learning_rates: Sequence[float]) -> None:
        """Copy order and learning rates of an epoch to the GPU."""
        self.order[: len(order)].copy_(order)
        self.rates[: len(learning_rates)].copy_(torch.tensor(learning_rates))
        self.step.zero_()
        for size, step in self._steps.items():
            if isinstance(step, _GraphStep):
                step.begin(0 if size == self.batch_size else len(order) - size)

    def stay_eager(self, reason: str) -> None:
        """Stop capturing and release the captured graphs, whose generator is replaced."""
        self.why_eager = reason
        for step in self._steps.values():
            if isinstance(step, _GraphStep):
                step.graph = None

    def _step(self, size: int) -> _CPUStep | _GraphStep:
        if size not in self._steps:
            self._steps[size] = _GraphStep(self, size) if self._on_gpu else _CPUStep(self, size)
        return self._steps[size]

    @property
    def source(self) -> str:
        """The Python code of the replayed step of a full batch; empty for eager steps."""
        step = self._steps.get(self.batch_size)
        return step.source if step else ""
