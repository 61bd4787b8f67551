"""Streaming predictions of a recurrent model: one prediction after each step of a series."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lamina.data.columns import KINDS
from lamina.data.read import read_table
from lamina.errors import OptionError
from lamina.forked import refuse
from lamina.graph.layers import Activation, Dropout, Join
from lamina.graph.layers.recurrent import Ends, Loop, Recurrent
from lamina.graph.layers.sequence import Present, StepDense, StepPool
from lamina.model import Model
from lamina.tasks.losses import LOSSES

#: Layers that process each step independently.
_STEPWISE = (Present, StepDense, Activation, Dropout, Join)
_REMEDY = "fit family='recurrent' with bidirectional=False"


class Stream:
    """Predictions for one series, step by step, in constant time per step.

    The state of recurrent layers, and the mean or maximum over the steps so far, are kept between steps. The prediction after
    the last step is that of the model for the whole series. Only if the series is longer than the model's maximum length they
    differ: the model truncates its beginning.

    Args:
        model: A fitted estimator or its :class:`~lamina.model.Model`, with one column of series.
        row: A table of one row with the other feature columns, if there are any.

    Raises:
        OptionError: The model needs the whole series at once; the message names the layer.
        SchemaError: A column is missing in the row.
        ForkError: In a forked process.

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
        refuse("Stream")
        self.model: Model = getattr(model, "model_", model)
        if not isinstance(self.model, Model):
            raise OptionError(f"model is a {type(model).__name__}, expected a fitted model")
        series = [block for kind in KINDS.values() if kind.streams for block in self.model.encoder.by_kind(kind.name)]
        if len(series) != 1:
            raise OptionError(f"the model has {len(series)} columns of series, expected 1; {_REMEDY}")
        self._block: Any = dataclasses.replace(cast(Any, series[0]), length=1)
        self._column = self.model.schema[series[0].name]
        self._step_nodes = self._nodes_with_steps()
        self.reset(row)

    def reset(self, row: Any = None) -> None:
        """Start a new series, with a row of the other columns; by default the previous row."""
        if row is not None or not hasattr(self, "_constants"):
            self._constants = self._activations(row)
        self._states: dict[str, Any] = {}
        self.steps = 0

    def step(self, row: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """The prediction after one more step: class probabilities (classes,), or values in the target's units.

        Args:
            row: The channels of the step; missing ones are NaN.

        Raises:
            SchemaError: Another number of channels than in training.
        """
        refuse("Stream.step")
        step = np.asarray(row, dtype=np.float64).reshape(1, 1, -1)
        values = KINDS[self._column.kind].check(self._column, pl.Series(self._column.name, step), [])
        blocks = self._tensors(self._block.transform(values))
        self.steps += 1
        with torch.inference_mode():
            outputs = LOSSES[self.model.network.loss].predictions(self._outputs(blocks)).cpu().numpy()
        return self.model.task.numbers(outputs)[0]

    def _nodes_with_steps(self) -> set[str]:
        """The nodes with a step axis; an OptionError where one of them needs all steps at once."""
        plan = self.model.net.plan
        nodes = {name for name in self._block.inputs if name in plan.inputs}
        for name, layer in plan.layers.items():
            if nodes.isdisjoint(edge.source for edge in plan.edges[name]):
                continue
            if isinstance(layer, Ends) or (isinstance(layer, Recurrent) and layer.bidirectional):
                raise OptionError(f"layer {name!r} is bidirectional; fit with bidirectional=False")
            if isinstance(layer, (*_STEPWISE, Recurrent, Loop)):
                nodes.add(name)
            elif not isinstance(layer, StepPool):
                raise OptionError(f"layer {name!r} is a {type(layer).__name__}, which needs all steps at once; {_REMEDY}")
        return nodes

    def _activations(self, row: Any) -> dict[str, Tensor]:
        """Activations of the nodes that do not depend on the series."""
        model, name = self.model, self._column.name
        table = pl.DataFrame({name: [None]}) if row is None else read_table(row)
        if len(table) != 1:
            raise OptionError(f"row has {len(table)} rows; give a table of one row")
        table = table.with_columns(pl.lit(None).alias(name))
        features, _ = model.schema.check(table, notes=False)
        plan, dependent = model.net.plan, set(self._step_nodes)
        for node in plan.order:
            if any(edge.source in dependent for edge in plan.edges[node]) or plan.masks.get(node) in dependent:
                dependent.add(node)
        constant = [node for node in plan.shapes if node not in dependent]
        with torch.inference_mode():
            return model.net.activations(self._tensors(model.encoder.transform(features)), constant)

    def _tensors(self, blocks: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(block).to(self.model.network.device) for name, block in blocks.items()}

    def _outputs(self, blocks: dict[str, Tensor]) -> Tensor:
        net, values = self.model.net, {**self._constants, **blocks}
        for name, layer in net.plan.layers.items():
            if name in values:
                continue
            if isinstance(layer, Recurrent | Loop) and name in self._step_nodes:
                module: Any = net.get_submodule(name)
                x = net._read(name, values)
                state = self._states[name] if name in self._states else module.begin(x)
                values[name], self._states[name] = module.step(x, state)
            elif isinstance(layer, StepPool) and net.plan.edges[name][0].source in self._step_nodes:
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
