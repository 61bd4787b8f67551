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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import lamina.families  # noqa: F401  its predictors enter their registry
from lamina.data.encode import Encoder
from lamina.data.schema import Schema
from lamina.errors import LaminaError, ModelFileError
from lamina.families.predictor import PREDICTORS
from lamina.migration import renamed
from lamina.model import Model
from lamina.tasks.task import Task
from lamina.train.events import StopReason
from lamina.train.run import replacing
from lamina.trust.trust import Trust

FORMAT = 3
TRUST = "trust/"


def save(model: Model, path: str | Path) -> Path:
    """Save a model to one file and return its path. An existing file is replaced atomically.

    Raises:
        ModelFileError: The folder cannot be written or is full; an existing file is unchanged.
    """
    path = Path(path)
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
    metadata = {"format": str(FORMAT), "content": content, "sha256": _digest(content, tensors)}
    if path.is_dir():
        raise ModelFileError(f"cannot write {path}: it is a folder; give the path of a file, such as {path / 'model.lamina'}")
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"cannot write {path}: {reason}; free disk space, or choose another folder") from error
    return path


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
    return _build(path, json.loads(content), tensors, device)


def _build(path: Path, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], device: Any) -> Model:
    try:
        stored = content.get("predictor") or {"kind": "network", "graph": content["graph"], "loss": content["loss"]}
        if stored["kind"] not in PREDICTORS:
            raise ModelFileError(f"its predictor is a {stored['kind']!r}, expected one of {', '.join(PREDICTORS)}")
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRUST)}
        trust_arrays = {name.removeprefix(TRUST): tensor.numpy() for name, tensor in tensors.items() if name not in own}
        trust = content.get("trust")  # a file of lamina 0.1.0 has none
        predictor = PREDICTORS[stored["kind"]].from_file(stored, own).to(device)
        return Model(
            schema=Schema.from_json(content["schema"]),
            task=Task.from_json(content["task"]),
            encoder=Encoder.from_json(content["encoder"]),
            predictor=predictor,
            family=content["family"],
            card=_card(content["card"], content["family"]),
            trust=None if trust is None else Trust.from_json(trust, trust_arrays),
        )
    except (LaminaError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path} cannot be read by this lamina: {error}") from error


def _card(card: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The card, migrated to the current ids, flags and names of options."""
    card = renamed(card, family)
    if "stopped" in card:
        card |= {"stopped": StopReason(card["stopped"]), "stopped_by": card.get("stopped_by", "")}
    if "split" in card:
        card["split"] = {"out_of_bag": card["split"]["how"].startswith("out of bag"), **card["split"]}
    return card


def _digest(content: str, tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
