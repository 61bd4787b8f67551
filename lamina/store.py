"""The ``.lamina`` file: a safetensors file with the rest as JSON in its header. No pickle, in or out.

::

    header  __metadata__ : format    "1"
                           content   schema, task, encoder, graph, loss, family, card as JSON
                           sha256    of content and tensors
            tensors by the name the net gives them
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lamina.data.encode import Encoder
from lamina.data.schema import Schema
from lamina.data.task import Task
from lamina.errors import LaminaError, ModelFileError
from lamina.graph.graph import Graph
from lamina.graph.net import Net
from lamina.graph.plan import Plan
from lamina.model import Model
from lamina.train.run import replacing

FORMAT = 1


def save(model: Model, path: str | Path) -> Path:
    """Write a model to one file; a file that was there is replaced only when the new one is whole.

    Raises:
        ModelFileError: The folder cannot be written or is full; an old file is as it was.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.net.state_dict().items()}
    content = json.dumps(
        {
            "schema": model.schema.to_json(),
            "task": model.task.to_json(),
            "encoder": model.encoder.to_json(),
            "graph": model.net.plan.graph.to_json(),
            "loss": model.loss,
            "family": model.family,
            "card": model.card,
        }
    )
    metadata = {"format": str(FORMAT), "content": content, "sha256": _digest(content, tensors)}
    if path.is_dir():
        raise ModelFileError(f"cannot write {path}: it is a folder; give the name of a file, such as {path / 'model.lamina'}")
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"cannot write {path}: {reason}; make room, or choose another place") from error
    return path


def load(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """Read a model; in a fresh process with no other state it answers bit by bit as it did when saved.

    Raises:
        ModelFileError: There is no such file, it is none of lamina's, it is damaged, or a newer lamina wrote it.
    """
    path = Path(path)
    if not path.exists():
        near = sorted(str(other) for other in path.parent.glob("*.lamina")) if path.parent.is_dir() else []
        raise ModelFileError(f"there is no file {path}" + (f"; there is {', '.join(near[:5])}" if near else ""))
    if path.is_dir():
        inside = path / "model.lamina"
        hint = f"; did you mean {inside}?" if inside.exists() else "; give a .lamina file"
        raise ModelFileError(f"{path} is a folder{hint}")
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            format_version = int(metadata.get("format", 0)) if "content" in metadata else 0
            if format_version == 0:
                raise ModelFileError(f"{path} is a safetensors file, but not one that lamina wrote")
            if format_version > FORMAT:
                raise ModelFileError(
                    f"{path} has format {format_version} and this lamina reads up to {FORMAT}; upgrade: pip install -U lamina"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is not a .lamina file, or it is cut off or damaged ({error})") from error
    content = metadata["content"]
    if _digest(content, tensors) != metadata.get("sha256"):
        raise ModelFileError(f"{path} is damaged: its checksum does not match; fetch it again or fit again")
    return _build(path, json.loads(content), tensors, device)


def _build(path: Path, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], device: Any) -> Model:
    try:
        net = Net(Plan(Graph.from_json(content["graph"])), seed=0)
        net.load_state_dict(tensors)
        return Model(
            schema=Schema.from_json(content["schema"]),
            task=Task.from_json(content["task"]),
            encoder=Encoder.from_json(content["encoder"]),
            net=net.to(device).eval(),
            loss=content["loss"],
            family=content["family"],
            card=content["card"],
        )
    except (LaminaError, KeyError, TypeError, RuntimeError) as error:
        raise ModelFileError(f"{path} cannot be read by this lamina: {error}") from error


def _digest(content: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
