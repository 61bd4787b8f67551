"""A fitted model: schema, task, encoder, predictor, trust and card."""

from __future__ import annotations

import dataclasses
import html
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import polars as pl
import torch

from lamina.data.encode import Encoder
from lamina.data.encoders import Encoders
from lamina.data.encoding import Input
from lamina.data.feed import as_tensor
from lamina.data.schema import Schema, rows_numbered_as
from lamina.data.weights import row_weights
from lamina.errors import ModelFileError, OptionError
from lamina.families.predictor import Predictor
from lamina.graph.graph import Graph
from lamina.graph.net import Net
from lamina.graph.plan import LARGE_ROW, PADDED_ROWS, Plan
from lamina.tasks.losses import LOSSES
from lamina.tasks.metrics import Metric
from lamina.tasks.report import Evaluation
from lamina.tasks.task import Task
from lamina.train.forward import chunk_rows, forward
from lamina.trust.trust import Trust
from lamina.trust.view import View

BATCH_ROWS = 131_072
BATCH_BYTES = 2**28
"""Limits of the rows that are encoded at once."""
WIDEST_LAYER = 4096
"""Wider layers are not used for novelty."""


@dataclass
class Network(Predictor):
    """Predictor of network families.

    Attributes:
        net: In evaluation mode.
        loss: Training loss; it defines how logits become probabilities.
        mirrored: The inputs whose images were mirrored in training; outputs are the mean over images and mirror images.
    """

    net: Net
    loss: str
    mirrored: tuple[str, ...] = ()
    kind: ClassVar[str] = "network"
    counted: ClassVar[str] = "parameters"

    @property
    def plan(self) -> Plan:
        return self.net.plan

    def to(self, device: str | torch.device) -> Self:
        self.net.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return next(iter(self.net.state_dict().values())).device

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return self.outputs_and_spread(blocks, rows)[0]

    def spread(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """Standard deviation of the members' values (N, K); None without members."""
        return self.outputs_and_spread(blocks, rows)[1]

    def outputs_and_spread(self, blocks: Mapping[str, Any], rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        inputs = self._inputs(blocks, rows)
        values = self._outputs(inputs, rows)
        spread = values.double().std(dim=1, correction=0).cpu().numpy() if values.ndim == 3 else None
        predictions = LOSSES[self.loss].predictions(values)
        if self.mirrored:
            inputs |= {name: inputs[name].flip(2) for name in self.mirrored}
            predictions = (predictions + LOSSES[self.loss].predictions(self._outputs(inputs, rows))) / 2
        return predictions.cpu().numpy(), spread  # sync

    @property
    def layer_width(self) -> int | None:
        shapes = self._before_outputs.values()
        width = sum(map(math.prod, shapes))
        return None if self.net.plan.recurrent or not shapes or width > WIDEST_LAYER else width

    @property
    def embedding_size(self) -> int:
        """Number of values of :meth:`embeddings` of a row."""
        members = self._with_members
        return sum(math.prod(shape[1:] if members and len(shape) == 2 else shape) for shape in self._before_outputs.values())

    def embeddings(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        """Activations before the output, the mean over members, float32 (N, D).

        Raises:
            OptionError: The network has a cycle.
        """
        if self.net.plan.recurrent:
            raise OptionError("the network has a cycle, so that it has activations at each step; embeddings need one without")
        return self._activations(blocks, rows, mean=self._with_members)

    def layer(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """Activations of the layer before the output, float32 (N, features); None where it is too wide."""
        return None if self.layer_width is None else self._activations(blocks, rows)

    @property
    def _before_outputs(self) -> dict[str, tuple[int, ...]]:
        """The nodes that the outputs read, and their shapes."""
        plan = self.net.plan
        names = [edge.source for last in plan.outputs.values() for edge in plan.edges.get(last, ())]
        return {name: plan.shapes[name] for name in names}

    @property
    def _with_members(self) -> bool:
        return all(len(self.net.plan.shapes[last]) == 2 for last in self.net.plan.outputs.values())

    def _activations(self, blocks: Mapping[str, Any], rows: int, *, mean: bool = False) -> np.ndarray:
        names = list(self._before_outputs)
        inputs, chunk = self._inputs(blocks, rows), chunk_rows(self.net)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(next(iter(inputs.values()))), chunk):
                batch = {name: block[start : start + chunk] for name, block in inputs.items()}
                activations = self.net.activations(batch, names).values()
                each = [values.mean(dim=1) if mean and values.dim() == 3 else values for values in activations]
                parts.append(torch.cat([values.flatten(1).float() for values in each], dim=1))
        return torch.cat(parts)[:rows].cpu().numpy()  # sync

    def _outputs(self, inputs: dict[str, torch.Tensor], rows: int) -> torch.Tensor:
        return forward(self.net, inputs, len(next(iter(inputs.values()))))[:rows]

    def _inputs(self, blocks: Mapping[str, Any], rows: int) -> dict[str, torch.Tensor]:
        device = self.device
        inputs = {name: as_tensor(block) for name, block in blocks.items()}
        if rows < PADDED_ROWS and sum(math.prod(block.shape[1:]) for block in inputs.values()) < LARGE_ROW:
            # Matrix products of few rows use other kernels, which round differently: padded with zeros, the outputs of a row
            # do not depend on the batch size.
            inputs = {
                name: torch.cat([block, block.new_zeros(PADDED_ROWS - rows, *block.shape[1:])])
                for name, block in inputs.items()
            }
        if device.type != "cpu":
            inputs = {name: block.to(device) for name, block in inputs.items()}
        return inputs

    def size(self) -> int:
        return sum(parameter.numel() for parameter in self.net.parameters())

    def to_json(self) -> dict[str, Any]:
        mirrored = {"mirrored": list(self.mirrored)} if self.mirrored else {}
        return {"graph": self.net.plan.graph.to_json(), "loss": self.loss, **mirrored}

    def tensors(self) -> dict[str, torch.Tensor]:
        return dict(self.net.state_dict())

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        plan = Plan(Graph.from_json(content["graph"]))
        plan.check_file({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        net = Net(plan, seed=0)
        net.load_state_dict(tensors)
        return cls(net.eval(), content["loss"], tuple(content.get("mirrored", ())))

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        plan = self.plan
        for name, shape in plan.inputs.items():
            block = inputs.get(name)
            if block is None or shape != (block.shape[1:] if plan.recurrent else block.shape):
                raise ModelFileError(f"the network reads {name!r} of {shape}, the encoder has {block and block.shape}")
        for name, layer in plan.layers.items():
            for block in (inputs[edge.source] for edge in plan.edges[name] if layer.codes and edge.source in inputs):
                if any(codes < most for codes, most in zip(layer.codes, block.cardinalities, strict=True)):
                    raise ModelFileError(f"layer {name!r} reads fewer codes than the encoder has")
        for name in self.mirrored:
            if name not in plan.inputs or inputs[name].kind != "image":
                raise ModelFileError(f"{name!r} is mirrored, but the network reads no images of this name")
        if self.loss not in LOSSES:
            raise ModelFileError(f"the loss is {self.loss!r}, expected one of {', '.join(LOSSES)}")
        shapes = [plan.shapes[after] for after in plan.outputs.values()]
        expected = 1 if LOSSES[self.loss].single and outputs == 2 else outputs
        if len(shapes) != 1 or len(shapes[0]) not in (1, 2) or shapes[0][-1:] != (expected,):
            raise ModelFileError(f"the network has outputs of {shapes}, expected {expected} for the task")


class Fitted(Protocol):
    """A fitted estimator."""

    model_: Model


@dataclass
class Model:
    """Schema, task, encoder, predictor and card of one fit.

    Attributes:
        schema: The columns of the training table.
        task: Targets, with their classes or units.
        encoder: Fitted on the training rows.
        predictor: Network, trees or other fitted parameters: from encoded rows to outputs.
        family: Name of the family.
        card: Fingerprint of the data, scores, versions, date, recipe, history: JSON.
        trust: Calibration, sets or intervals, novelty; None with ``trust=False``, or in a file of lamina 0.1.
        metric: A metric of one's own beside those of the task; in no file.
    """

    schema: Schema
    task: Task
    encoder: Encoder | Encoders
    predictor: Predictor
    family: str
    card: dict[str, Any] = field(default_factory=dict)
    trust: Trust | None = None
    metric: Metric | None = None

    def __repr__(self) -> str:
        """What is predicted, by what, from what, and how well, on one screen."""
        card, task, columns = self.card, self.task, self.schema.features
        lines = [f"{', '.join(task.targets[:8])} ({task.title})"]
        lines.append(f"family      {self.family}, {self.predictor.size():,} {self.predictor.counted}")
        if "split" in card:
            train, validation = card["split"]["train"], card["split"]["validation"]
            lines.append(f"rows        {train:,} for training, {validation:,} for validation")
        named = ", ".join(f"{column.name} ({column.kind})" for column in columns[:8])
        lines.append(f"columns     {named}{f' and {len(columns) - 8:,} more' * (len(columns) > 8)}")
        for name, score in card.get("validation", {}).items():
            baseline = card["baseline"].get(name)
            known = [f"{value:.4g}" for value in (score, baseline) if value is not None]
            lines += [f"validation  {name} {', baseline '.join(known)}"] if known else []
        lines = [line if len(line) <= 100 else f"{line[:99]}…" for line in lines]
        for sentence in self.summary()[1:]:
            lines += textwrap.wrap(sentence, 100)
        return "\n".join(lines)

    def summary(self) -> tuple[str, ...]:
        """Sentences about the scores on validation rows: beside the baseline, whether it memorises, or learnt nothing.

        Example:
            >>> import lamina
            >>> rows = {"x": [i % 10 for i in range(200)], "y": ["low", "low", "high"] * 66 + ["low", "high"]}
            >>> for sentence in lamina.fit(rows, "y", family="linear", monitor=None).model_.summary():
            ...     print(sentence)
            Accuracy 66.7 % on 30 validation rows; always predicting low has 66.7 %.
            It may have learnt nothing: on these rows it is not clearly better than the baseline.
        """
        card = self.card
        if "validation" not in card:
            return ()
        result = {"rows": card["split"]["validation"], "scores": card["validation"], **card}
        return self.task.summary(result, "validation rows")

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    @property
    def network(self) -> Network:
        """The predictor of a network family.

        Raises:
            OptionError: The family is no network.
        """
        if not isinstance(self.predictor, Network):
            raise OptionError(f"the family {self.family!r} is no network; fit a network family, such as 'feedforward'")
        return self.predictor

    @property
    def net(self) -> Net:
        """The ``nn.Module`` of a network family."""
        return self.network.net

    def outputs(self, table: pl.DataFrame, *, checked: bool = False) -> np.ndarray:
        """Class probabilities (N, classes), or standardised values (N, K); float64.

        Args:
            table: Rows with the feature columns; other columns are ignored.
            checked: Whether the table is a result of ``schema.check``.

        Raises:
            SchemaError: A column is missing or of another kind.
        """
        if not checked:
            table, _ = self.schema.check(table, notes=False)
        return self._in_batches(table, self.predictor.outputs)

    def spread(self, table: pl.DataFrame) -> np.ndarray | None:
        """Standard deviation of each output over trees or ensemble members (N, K), for rows of ``schema.check``; else None."""
        return self._in_batches(table, self.predictor.spread)

    def novelty_features(self, table: pl.DataFrame, view: View | None) -> np.ndarray | None:
        """Features for novelty, for rows of ``schema.check``: those of the view, or the layer before the output."""
        if view is not None:
            with rows_numbered_as(table, self.schema):
                return view.transform(table)
        return self._in_batches(table, self.predictor.layer)

    def with_threshold(self, threshold: float | str | None) -> Model:
        """The model with another decision threshold, see :meth:`lamina.tasks.task.Task.with_threshold`; itself for None."""
        return self if threshold is None else dataclasses.replace(self, task=self.task.with_threshold(threshold))

    def embeddings(self, table: pl.DataFrame) -> np.ndarray:
        """Activations before the output of a network, float32 (N, D), for rows of ``schema.check``."""
        return self._in_batches(table, self.network.embeddings)

    def evaluate(self, table: pl.DataFrame, *, errors: int = 0) -> Evaluation:
        """Scores of the model and of the baseline on rows with a target, and figures of each class, label or target.

        Sample weights are used where the model was fitted with a column of weights and the table has it.

        Args:
            table: Rows with the target.
            errors: Number of the worst predictions to include.

        Raises:
            SchemaError: A column, or the target, is missing.
            TargetError: No row has a target.
        """
        table = self.schema.typed(table)
        usable, _ = self.task.usable_rows(table)
        rows = table if usable.all() else table.filter(pl.Series(usable))
        truth = self.task.truth(rows)
        with rows_numbered_as(table, self.schema):
            outputs = self.outputs(rows)
            evaluation = self.evaluate_outputs(truth, outputs, row_weights(rows, self.schema))
        if errors:
            numbers = np.flatnonzero(usable) + 1
            worst = self.task.errors(truth, outputs, errors)
            evaluation["errors"] = [error | {"row": int(numbers[error["row"]])} for error in worst]
        return evaluation

    def evaluate_outputs(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> Evaluation:
        """The same as :meth:`evaluate`, from truth and outputs."""
        scores, baseline = self.task.scores(truth, outputs, weight), self.task.baseline_scores(truth, weight)
        undefined = self.task.undefined(scores)
        if (metric := self.metric) is not None and metric.name not in scores:
            scores[metric.name] = metric(truth, self.task.predict(outputs), weight)
            baseline[metric.name] = metric(truth, self.task.untuned.predict(self.task.baseline(len(truth))), weight)
        details = self.task.details(truth, outputs, weight) | ({"undefined": undefined} if undefined else {})
        return Evaluation(rows=len(truth), scores=scores, baseline=baseline, **details)

    @cached_property
    def _row_size(self) -> int:
        """Number of values in an encoded row."""
        return sum(math.prod(block.shape) for block in self.encoder.inputs.values())

    def _in_batches(self, table: pl.DataFrame, predict: Callable[[Mapping[str, Any], int], Any]) -> Any:
        """Results of the predictor for encoded batches of the table, which bound the memory."""
        size = max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * self._row_size)))
        with rows_numbered_as(table, self.schema):
            starts = range(0, max(len(table), 1), size)
            batches = (table[start : start + size] if len(table) > size else table for start in starts)
            parts = [predict(self.encoder.transform(batch), len(batch)) for batch in batches]
        return parts[0] if len(parts) == 1 or parts[0] is None else np.concatenate(parts)
