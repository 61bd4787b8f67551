"""A model: everything that turns a table into an answer, and the card that says where it came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch

from lamina.data.encode import Encoder
from lamina.data.feed import as_tensor
from lamina.data.schema import Schema, rows_numbered_as
from lamina.data.weights import row_weights
from lamina.errors import OptionError
from lamina.families.predictor import Predictor
from lamina.graph.graph import Graph
from lamina.graph.net import Net
from lamina.graph.plan import Plan
from lamina.tasks.losses import LOSSES
from lamina.tasks.task import Task
from lamina.train.forward import chunk_rows, forward
from lamina.trust.trust import Trust
from lamina.trust.view import View

ROWS_AT_ONCE = 131_072
BYTES_AT_ONCE = 2**28
"""Rows that are encoded at once: at most so many, and so many bytes."""
FEWEST_ROWS = 32
LARGE_ROW = 4096
"""Values in a row from which on it is not worth padding a handful of rows."""
WIDEST_LAYER = 4096
"""A wider layer is nothing to measure novelty by."""


@dataclass
class Network(Predictor):
    """The predictor of the families that are networks.

    Attributes:
        net: In evaluation mode.
        loss: The loss it was trained with; it says how logits become probabilities.
    """

    net: Net
    loss: str
    kind: ClassVar[str] = "network"
    counted: ClassVar[str] = "parameters"

    @property
    def device(self) -> torch.device:
        return next(iter(self.net.state_dict().values())).device

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return LOSSES[self.loss].predictions(self._outputs(blocks, rows)).cpu().numpy()  # sync

    def spread(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """How far apart the members' values are, their standard deviation (N, K); None without members."""
        outputs = self._outputs(blocks, rows)
        return outputs.double().std(dim=1, correction=0).cpu().numpy() if outputs.ndim == 3 else None

    def layer(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """What the output is made of: the layer before it, float32 (N, features); None where that is very wide."""
        plan = self.net.plan
        names = [edge.source for last in plan.outputs.values() for edge in plan.edges[last]]
        if plan.recurrent or sum(math.prod(plan.shapes[name]) for name in names) > WIDEST_LAYER:
            return None
        inputs, chunk = self._inputs(blocks, rows), chunk_rows(self.net)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(next(iter(inputs.values()))), chunk):
                found = self.net.activations({name: block[start : start + chunk] for name, block in inputs.items()}, names)
                parts.append(torch.cat([values.flatten(1).float() for values in found.values()], dim=1))
        return torch.cat(parts)[:rows].cpu().numpy()  # sync

    def _outputs(self, blocks: Mapping[str, Any], rows: int) -> torch.Tensor:
        inputs = self._inputs(blocks, rows)
        return forward(self.net, inputs, len(next(iter(inputs.values()))))[:rows]

    def _inputs(self, blocks: Mapping[str, Any], rows: int) -> dict[str, torch.Tensor]:
        device = self.device
        inputs = {name: as_tensor(block) for name, block in blocks.items()}
        if rows < FEWEST_ROWS and sum(math.prod(block.shape[1:]) for block in inputs.values()) < LARGE_ROW:
            # A matrix product takes other kernels, and rounds otherwise, for a handful of rows: with these rows of zeros
            # beside it a row gets the same answer alone as in company.
            inputs = {
                name: torch.cat([block, block.new_zeros(FEWEST_ROWS - rows, *block.shape[1:])])
                for name, block in inputs.items()
            }
        if device.type != "cpu":
            inputs = {name: block.to(device) for name, block in inputs.items()}
        return inputs

    def size(self) -> int:
        return sum(parameter.numel() for parameter in self.net.parameters())

    def to_json(self) -> dict[str, Any]:
        return {"graph": self.net.plan.graph.to_json(), "loss": self.loss}

    def tensors(self) -> dict[str, torch.Tensor]:
        return dict(self.net.state_dict())

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        net = Net(Plan(Graph.from_json(content["graph"])), seed=0)
        net.load_state_dict(tensors)
        return cls(net.eval(), content["loss"])


@dataclass
class Model:
    """Schema, task, encoder, predictor and card of one fit.

    Attributes:
        schema: The columns as they were learnt.
        task: What is asked, and the labels or units of the answer.
        encoder: Fitted on the training rows.
        predictor: A network, trees, weights: what answers for encoded rows.
        family: Name of the family that it is of.
        card: Fingerprint of the data, scores, versions, date, recipe, history: JSON.
        trust: What answers are judged by, one by one; None if that was not asked for, or the file is of lamina 0.1.
    """

    schema: Schema
    task: Task
    encoder: Encoder
    predictor: Predictor
    family: str
    card: dict[str, Any] = field(default_factory=dict)
    trust: Trust | None = None

    @property
    def is_network(self) -> bool:
        return isinstance(self.predictor, Network)

    @property
    def network(self) -> Network:
        """The predictor, where it is a network.

        Raises:
            OptionError: It is none.
        """
        if not isinstance(self.predictor, Network):
            raise OptionError(f"the family {self.family!r} is no network; fit a family such as feedforward for what needs one")
        return self.predictor

    @property
    def net(self) -> Net:
        """The net that executes the graph, where there is one."""
        return self.network.net

    def outputs(self, table: pl.DataFrame, *, checked: bool = False) -> np.ndarray:
        """Class probabilities (N, classes), or standardised values (N, K); float64.

        Args:
            table: Rows with the feature columns; others are left aside.
            checked: The table went through ``schema.check`` already.

        Raises:
            SchemaError: A column is missing or of another kind.
        """
        if not checked:
            table, _ = self.schema.check(table, notes=False)
        return self._in_pieces(table, self.predictor.outputs)

    def spread(self, table: pl.DataFrame) -> np.ndarray | None:
        """How uncertain the model is of each output (N, K), for rows as ``schema.check`` returns them.

        The disagreement of what predicts together: trees, or a network's members. None where one predicts alone.
        """
        return self._in_pieces(table, self.predictor.spread)

    def seen(self, table: pl.DataFrame, view: View | None) -> np.ndarray | None:
        """What novelty looks at, for rows as ``schema.check`` returns them: the view, or the layer before the output."""
        if view is not None:
            with rows_numbered_as(table, self.schema):
                return view.rows(table)
        return self._in_pieces(table, self.predictor.layer)

    def scores(self, table: pl.DataFrame) -> dict[str, Any]:
        """The figures of this model on rows whose target is known, beside the baseline.

        Rows count by their weight, where the model was fitted with a column of weights and the table holds it.

        Returns:
            ``rows``, ``scores`` and ``baseline``, the latter two by name of the metric; and the details of the task: for up to
            100 classes ``confusion``, a list for each actual class of how many rows are predicted to be of each class.

        Raises:
            SchemaError: A column, or the target, is missing.
            TargetError: No row has a target.
        """
        known, _ = self.task.usable_rows(table)
        given, table = table, table if known.all() else table.filter(pl.Series(known))
        truth = self.task.truth(table)
        with rows_numbered_as(given, self.schema):
            return self.figures(truth, self.outputs(table), row_weights(table, self.schema))

    def figures(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, Any]:
        """The same as :meth:`scores`, from the truth and the outputs."""
        return {
            "rows": len(truth),
            "scores": self.task.scores(truth, outputs, weight),
            "baseline": self.task.baseline_scores(truth, weight),
            **self.task.details(truth, outputs, weight),
        }

    @cached_property
    def _row_size(self) -> int:
        """Values in an encoded row."""
        return sum(math.prod(block.shape) for block in self.encoder.inputs.values())

    def _in_pieces(self, table: pl.DataFrame, ask: Callable[[Mapping[str, Any], int], Any]) -> Any:
        """What the predictor says of encoded rows, a piece of the table at a time, so that memory stays bounded."""
        most = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (4 * self._row_size)))
        with rows_numbered_as(table, self.schema):
            pieces = [
                table[start : start + most] if len(table) > most else table for start in range(0, max(len(table), 1), most)
            ]
            parts = [ask(self.encoder.transform(piece), len(piece)) for piece in pieces]
        return parts[0] if len(parts) == 1 or parts[0] is None else np.concatenate(parts)
