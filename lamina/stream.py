"""Streams: a recurrent model that hears a series step by step, and says after each what it thinks by now."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lamina.data.columns import KINDS
from lamina.data.read import read_table
from lamina.errors import OptionError
from lamina.graph.layers import Activation, Dropout, Join
from lamina.graph.layers.recurrent import Ends, Loop, Recurrent
from lamina.graph.layers.sequence import Present, StepDense, StepPool
from lamina.model import Model
from lamina.tasks.losses import LOSSES

#: Layers that do to each step what they would do to it alone.
_STEPWISE = (Present, StepDense, Activation, Dropout, Join)
_REMEDY = "a stream takes a model of family='recurrent' with bidirectional=False"


class Stream:
    """Follows one series as it happens: each step costs the same, however many were before.

    The net keeps its state from step to step: the state of its recurrent layers, and the mean or maximum over the steps so far.
    After the last step of a series the answer is that of the model for the whole series. There is one difference: where a
    series is longer than the steps that the model reads, the model forgets what is before, and a stream does not.

    Args:
        model: What ``lamina.fit`` gives, or its :class:`~lamina.model.Model`, learnt from one column of series.
        row: A table of one row with the other columns that the model learnt from, if there are any.

    Raises:
        OptionError: The model cannot follow a stream, as it looks at the whole series at once; the message names the layer.
        SchemaError: A column is missing in the row.

    Example:
        >>> import lamina
        >>> from lamina.families import Recurrent
        >>> rising = [[0.0, 0.1, 0.2], [0.3, 0.5, 0.9]] * 20
        >>> falling = [[0.9, 0.3, 0.1], [0.8, 0.7, 0.2]] * 20
        >>> table = {"wave": rising + falling, "way": ["up"] * 40 + ["down"] * 40}
        >>> family = Recurrent(bidirectional=False, hidden_sizes=(8,))
        >>> stream = Stream(lamina.fit(table, "way", family=family, recipe=lamina.Recipe(epochs=30), monitor=None))
        >>> [int(stream.step(value).argmax()) for value in (0.9, 0.5, 0.1)][-1]  # of ("down", "up")
        0
    """

    def __init__(self, model: Any, row: Any = None) -> None:
        self.model: Model = getattr(model, "model_", model)
        if not isinstance(self.model, Model):
            raise OptionError(
                f"a stream follows what a model says, but was given a {type(model).__name__}; give a fitted model"
            )
        series = [block for kind in KINDS.values() if kind.streams for block in self.model.encoder.by_kind(kind.name)]
        if len(series) != 1:
            raise OptionError(f"the model reads {len(series)} columns of series, but a stream is one; {_REMEDY}")
        self._block: Any = dataclasses.replace(cast(Any, series[0]), length=1)
        self._column = self.model.schema[series[0].name]
        self._timed = self._over_time()
        self.reset(row)

    def reset(self, row: Any = None) -> None:
        """Begin a new series, with the other columns' values for it; the same row as before when none is given."""
        if row is not None or not hasattr(self, "_still"):
            self._still = self._values(row)
        self._states: dict[str, Any] = {}
        self.steps = 0

    def step(self, row: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """Hear one step and answer: class probabilities (classes,), or values in the target's own units.

        Args:
            row: The channels of the step; missing ones are NaN.

        Raises:
            SchemaError: The number of channels is not that which was learnt.
        """
        step = np.asarray(row, dtype=np.float64).reshape(1, 1, -1)
        values = KINDS[self._column.kind].check(self._column, pl.Series(self._column.name, step), [])
        blocks = {
            name: torch.from_numpy(block).to(self.model.network.device) for name, block in self._block.transform(values).items()
        }
        self.steps += 1
        with torch.inference_mode():
            outputs = LOSSES[self.model.network.loss].predictions(self._outputs(blocks)).cpu().numpy()
        return self.model.task.numbers(outputs)[0]

    # -- the net, one step at a time -----------------------------------------------------------------------------------

    def _over_time(self) -> set[str]:
        """The nodes that have a step axis; the error where one of them needs all steps at once."""
        plan = self.model.net.plan
        timed = {name for name in self._block.inputs if name in plan.inputs}
        for name, layer in plan.layers.items():
            sources = {edge.source for edge in plan.edges[name]}
            if timed.isdisjoint(sources):
                continue
            if isinstance(layer, Ends) or (isinstance(layer, Recurrent) and layer.bidirectional):
                raise OptionError(f"layer {name!r} reads the series backwards, too, from its end; fit with bidirectional=False")
            if isinstance(layer, (*_STEPWISE, Recurrent, Loop)):
                timed.add(name)
            elif not isinstance(layer, StepPool):
                raise OptionError(f"layer {name!r} is a {type(layer).__name__}, which needs all steps at once; {_REMEDY}")
        return timed

    def _values(self, row: Any) -> dict[str, Tensor]:
        """What the nodes say that do not depend on the series."""
        model, name = self.model, self._column.name
        table = pl.DataFrame({name: [None]}) if row is None else read_table(row)
        if len(table) != 1:
            raise OptionError(
                f"a stream begins with the columns of one row, but was given {len(table)}; give a table of one row"
            )
        table = table.with_columns(pl.lit(None).alias(name))
        features, _ = model.schema.check(table, notes=False)
        blocks = {
            key: torch.from_numpy(block).to(model.network.device) for key, block in model.encoder.transform(features).items()
        }
        with torch.inference_mode():
            return model.net.activations(blocks, self._fixed())

    def _on_device(self, blocks: dict[str, np.ndarray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(block).to(self.model.network.device) for name, block in blocks.items()}

    def _fixed(self) -> list[str]:
        plan, moving = self.model.net.plan, set(self._timed)
        for name in plan.order:
            if any(edge.source in moving for edge in plan.edges[name]) or plan.masks.get(name) in moving:
                moving.add(name)
        return [name for name in plan.shapes if name not in moving]

    def _outputs(self, blocks: dict[str, Tensor]) -> Tensor:
        net, values = self.model.net, {**self._still, **blocks}
        for name, layer in net.plan.layers.items():
            if name in values:
                continue
            if isinstance(layer, Recurrent | Loop) and name in self._timed:
                module: Any = net.get_submodule(name)
                x = net._read(name, values)
                state = self._states[name] if name in self._states else module.begin(x)
                values[name], self._states[name] = module.step(x, state)
            elif isinstance(layer, StepPool) and net.plan.edges[name][0].source in self._timed:
                values[name] = self._pool(name, layer.kind, net._read(name, values)[:, 0])
            else:
                values[name] = net._call(name, values)
        return values[next(iter(net.plan.outputs.values()))]

    def _pool(self, name: str, kind: str, x: Tensor) -> Tensor:
        before = self._states.get(name)
        if kind == "last" or before is None:
            self._states[name] = x
        else:
            self._states[name] = torch.maximum(before, x) if kind == "max" else before + x
        return self._states[name] / self.steps if kind == "mean" else self._states[name]
