"""The ``.lamina`` file: a safetensors file with the rest as JSON in its header. No pickle, in or out.

::

    header  __metadata__ : format    "3"
                           content   schema, task, encoder, predictor (a network's graph and loss), family, card, trust as JSON
                           sha256    of content and tensors
            tensors with the predictor's names; those of trust start with trust/

Format 1, of lamina 0.1.0, had networks only, with graph and loss at the top level. Up to format 2 the options of families and
recipe had other names, see :mod:`lamina.migration`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized

import lamina.families  # noqa: F401  its predictors enter their registry
from lamina.data.encoders import encoder_from_json
from lamina.data.schema import Schema
from lamina.errors import ModelFileError
from lamina.families.predictor import PREDICTORS
from lamina.forked import Shared, Stored
from lamina.migration import renamed
from lamina.model import Model
from lamina.stored import reading, stored_as
from lamina.tasks.task import Task
from lamina.train.events import StopReason
from lamina.train.run import replacing
from lamina.trust.trust import Trust

FORMAT = 3
#: What every card has, with its types.
_CARD: dict[str, Any] = {
    **dict.fromkeys(("lamina", "made"), str),
    **dict.fromkeys(("family", "recipe"), Mapping[str, Any]),
    **dict.fromkeys(("parameters", "best_epoch"), int),
    **dict.fromkeys(("validation", "baseline"), Mapping[str, float | None]),
    "versions": Mapping[str, str],
    **dict.fromkeys(("data.rows", "split.train", "split.validation"), int),
    **dict.fromkeys(("data.fingerprint", "split.how"), str),
    "notes": tuple[str, ...],
    "history": tuple[Mapping[str, Any], ...],
    "seconds": float,
}
#: What each of its candidates has, where there are some.
_CANDIDATE: dict[str, Any] = {
    **dict.fromkeys(("name", "metric", "verdict"), str),
    **dict.fromkeys(("loss", "score"), float | None),
    **dict.fromkeys(("seconds", "weight"), float),
    "rows": int,
}
TRUST = "trust/"


def save(model: Model, path: str | Path) -> Path:
    """Save a model to one file and return its path. An existing file is replaced atomically.

    Raises:
        ModelFileError: The folder cannot be written or is full; an existing file is unchanged.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelFileError(f"cannot write {path}: it is a folder; give the path of a file, such as {path / 'model.lamina'}")
    data = to_bytes(model)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise ModelFileError(
            f"cannot write {path}: {error.strerror or error}; free disk space, or choose another folder"
        ) from error
    return path


def to_bytes(model: Model) -> bytes:
    """The content of the file of a model: the same bytes for the same model."""
    content, tensors = _contents(model)
    metadata = {"format": str(FORMAT), "content": content, "sha256": _digest(content, tensors)}
    data = serialized(tensors, metadata)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start]) | {"__metadata__": metadata}  # which safetensors writes in another order each time
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[start:]


def from_bytes(stored: Stored) -> Model:
    """The model of the content of a file."""
    with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
        path = Path(folder) / "model.lamina"
        path.write_bytes(stored.content)
        model = load(path)
    model.metric = stored.metric
    return model


def to_stored(model: Model) -> Stored:
    """The content of a file of a model, with its metric."""
    return Stored(to_bytes(model), model.metric)


Shared.store, Shared.load = to_stored, from_bytes


def checksum(model: Model | Path) -> str:
    """The SHA-256 of a model, or of a file that was loaded, which is in the header of its file."""
    if isinstance(model, Model):
        return _digest(*_contents(model))
    with safe_open(os.fspath(model), framework="pt") as file:
        return file.metadata()["sha256"]


def _contents(model: Model) -> tuple[str, dict[str, torch.Tensor]]:
    """The JSON and the tensors of a model."""
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.predictor.tensors().items()
    }
    if model.trust is not None:
        tensors |= {TRUST + name: torch.from_numpy(array.copy()) for name, array in model.trust.arrays().items()}
    content = json.dumps(
        {
            "schema": model.schema.to_json(),
            "task": model.task.to_json(),
            "encoder": model.encoder.to_json(),
            "predictor": {"kind": model.predictor.kind, **model.predictor.to_json()},
            "family": model.family,
            "card": model.card,
            "trust": None if model.trust is None else model.trust.to_json(),
        }
    )
    return content, tensors


def load(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """Load a model, with bitwise the same predictions as when it was saved.

    Raises:
        ModelFileError: The file does not exist, is no ``.lamina`` file, is damaged, or was saved by a newer lamina.
    """
    path = Path(path)
    if not path.exists():
        files = sorted(map(str, path.parent.glob("*.lamina"))) if path.parent.is_dir() else []
        raise ModelFileError(f"there is no file {path}" + (f"; there is {', '.join(files[:5])}" if files else ""))
    if path.is_dir():
        inside = path / "model.lamina"
        hint = f"; did you mean {inside}?" if inside.exists() else "; give a .lamina file"
        raise ModelFileError(f"{path} is a folder{hint}")
    with reading(path):
        return _build(*_read(path), device)


def _read(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """The JSON and the tensors of a file."""
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if not metadata.keys() >= {"format", "content"}:
                raise ModelFileError(f"{path} is a safetensors file, but was not saved by lamina")
            format_version = int(metadata["format"])
            if format_version > FORMAT:
                raise ModelFileError(
                    f"{path} has format {format_version}, this lamina supports up to {FORMAT}; upgrade: pip install -U lamina"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except ModelFileError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path} is not a .lamina file, or it is cut off or damaged ({error}); give a saved model, or a run"
        ) from error
    content = metadata["content"]
    if _digest(content, tensors) != metadata.get("sha256"):
        raise ModelFileError(f"{path} is damaged: its checksum does not match; download it again or fit again")
    content = json.loads(content)
    if not isinstance(content, dict):
        raise ModelFileError(f"its content is a {type(content).__name__}, expected names and values")
    json.dumps(content, ensure_ascii=False).encode()  # halves of surrogate pairs are no text
    return content, tensors


def _build(content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], device: Any) -> Model:
    """The model, each part checked before anything of its sizes is allocated."""
    with reading("", "its schema"):
        schema = Schema.from_json(content["schema"])
    with reading("", "its task"):
        task = _task(content["task"])
    with reading("", "its encoder"):
        encoder = encoder_from_json(content["encoder"])
        encoder.verify(schema)
        inputs = encoder.inputs
    with reading("", "its predictor"):
        stored = content.get("predictor") or {"kind": "network", "graph": content["graph"], "loss": content["loss"]}
        if stored["kind"] not in PREDICTORS:
            raise ModelFileError(f"it is a {stored['kind']!r}, expected one of {', '.join(PREDICTORS)}")
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRUST)}
        predictor = PREDICTORS[stored["kind"]].from_file(stored, own)
        predictor.check(inputs, task.size)
        predictor = predictor.to(device)
    with reading("", "its trust"):
        arrays = {name.removeprefix(TRUST): tensor.numpy() for name, tensor in tensors.items() if name not in own}
        trust = content.get("trust")  # a file of lamina 0.1.0 has none
        if trust is not None:
            trust = Trust.from_json(trust, arrays, schema).check(schema, task.judge, task.size, predictor.layer_width)
    with reading("", "its card"):
        family = content["family"]
        if not isinstance(family, str) or not family.isprintable():
            raise ModelFileError(f"the family is {repr(family)[:60]}, expected a name")
        card = _card(content["card"], family, task)
    return Model(schema=schema, task=task, encoder=encoder, predictor=predictor, family=family, card=card, trust=trust)


def _task(values: Mapping[str, Any]) -> Task:
    """The task, after it has made a prediction of the baseline."""
    task = Task.from_json(values)
    outputs = task.baseline(1)
    if not task.targets or outputs.shape != (1, task.size) or not np.isfinite(outputs).all():
        raise ModelFileError(f"it has outputs {outputs.shape} for {task.size} classes, labels or targets")
    columns = [pl.Series(values) for values in task.columns(task.predict(outputs), outputs)]
    if len(columns) != len(task.column_names) or len(set(task.targets)) < len(task.targets):
        raise ModelFileError(f"it predicts {len(columns)} columns, but names {len(task.column_names)}, or one twice")
    _ = task.title, task.column_names, task.metrics, task.main_metric
    return task


def _card(card: Mapping[str, Any], family: str, task: Task) -> dict[str, Any]:
    """The card, migrated to the current ids, flags and names of options."""
    for name, hint in _CARD.items():
        value = card
        for key in name.split("."):
            value = value[key]
        stored_as(hint, value, name)
    for epoch in card["history"]:
        stored_as(float, epoch["validation_loss"], "history")
    for candidate in card.get("candidates") or ():
        for name, hint in _CANDIDATE.items():
            stored_as(hint, candidate[name], f"candidates.{name}")
    if teacher := card.get("teacher"):
        for name in ("model", "family", "checksum"):
            stored_as(str, teacher[name], f"teacher.{name}")
        stored_as(Mapping[str, float | None], teacher["fidelity"], "teacher.fidelity")
    if card["history"] and not 0 <= card["best_epoch"] < len(card["history"]):
        raise ModelFileError(f"best_epoch is {card['best_epoch']} of {len(card['history'])} epochs")
    results = [{"rows": card["split"]["validation"], "scores": card["validation"], **card}, card.get("test")]
    for result in filter(None, results):
        _ = task.summary(result, "rows"), task.tables(result), [result["baseline"][name] for name in result["scores"]]
        stored_as(Mapping[str, str], result.get("undefined") or {}, "undefined")
        stored_as(Mapping[str, float | None], (result.get("train") or {}).get("scores", {}), "train.scores")
    card = renamed(card, family)
    if "stopped" in card:
        card |= {"stopped": StopReason(card["stopped"]), "stopped_by": card.get("stopped_by", "")}
    if "split" in card:
        card["split"] = {**card["split"]}
        card["split"].setdefault("out_of_bag", card["split"]["how"].startswith("out of bag"))
    return card


def _digest(content: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
