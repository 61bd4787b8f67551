"""Model files with one thing changed and a right checksum, and a process that loads them and predicts, or reads tables.

As a script it is that process: ``models`` reads paths of a model file and of rows, ``tables`` paths of tables, one input a
line, and answers each with a line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lamina import store

SECONDS, BYTES = 10, 2 << 30
VALUES = (
    *(None, True, False, -1, 0, 1, 2, 7, 10**5, 10**8, 10**9, 2**31, 2**63, 10**30, -(10**9), 0.5, -1.5, 1e300, 1e-300),
    *(float("nan"), float("inf"), "", "x", "none", "[]", "\x1b[31m\n", "\ud800", "é" * 1000, [], {}, [[]], [1], [0, 0], ["x"]),
    *({"x": 1}, [10**9, 10**9], [1.5, 2.5], "number", "category", "image", "text", "series", "float64", "(?:a|a)*$"),
)
NUMBERS = (0, 1, -1, 2, 3, 1000, 10**8, 2**31 - 1, -(2**31), 127)


def contents(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    with safe_open(os.fspath(path), framework="pt") as file:
        return json.loads(file.metadata()["content"]), {name: file.get_tensor(name) for name in file.keys()}


def write(path: Path, content: Any, tensors: Mapping[str, torch.Tensor]) -> Path:
    """A model file with a right checksum; ``content`` is JSON, or the text itself."""
    text = content if isinstance(content, str) else json.dumps(content)
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"format": "3", "content": text, "sha256": store._digest(text, tensors)}
    save_file(tensors, os.fspath(path), metadata=metadata)
    return path


def mutated(random: np.random.Generator, content: Any, tensors: dict[str, torch.Tensor]) -> tuple[Any, dict, str]:
    """A copy with one or two changes, and what they are."""
    content, tensors, said = json.loads(json.dumps(content)), dict(tensors), []
    for _ in range(int(random.integers(1, 3))):
        change = _change_tensor(random, tensors) if random.random() < 0.35 else _change_json(random, content)
        said.append(change)
    return content, tensors, "; ".join(said)


def _change_json(random: np.random.Generator, content: Any) -> str:
    node, path = content, []
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not path:  # the card is large and mostly of numbers
            keys = [key for key in keys if key != "card" or random.random() < 0.3]
        key = keys[random.integers(len(keys))]
        path.append(key)
        if isinstance(node[key], dict | list) and node[key] and random.random() < 0.93:
            node = node[key]
            continue
        break
    kind = random.random()
    if kind < 0.1:
        del node[key]
        return f"{path} deleted"
    if kind < 0.2 and isinstance(node, list):
        node.append(node[key])
        return f"{path} twice"
    if kind < 0.3 and isinstance(node[key], int | float):
        node[key] = node[key] * 1000 + 1
    elif kind < 0.4:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        node[key] = node[keys[random.integers(len(keys))]]
    elif kind < 0.5 and isinstance(node[key], str) and node[key].startswith("{"):
        inner = json.loads(node[key])
        text = _change_json(random, inner)
        node[key] = json.dumps(inner)
        return f"{path}: {text}"
    else:
        node[key] = VALUES[random.integers(len(VALUES))]
    return f"{path} = {repr(node[key])[:40]}"


def _change_tensor(random: np.random.Generator, tensors: dict[str, torch.Tensor]) -> str:
    name = sorted(tensors)[random.integers(len(tensors))]
    tensor, kind = tensors[name].clone(), int(random.integers(9))
    if kind == 0:
        del tensors[name]
        return f"{name} deleted"
    if kind == 1:
        tensors[name + "x"] = tensors.pop(name)
        return f"{name} renamed"
    if kind == 2:
        types = (torch.float64, torch.float32, torch.int64, torch.int32, torch.bool, torch.uint8, torch.bfloat16, torch.int8)
        tensor = tensor.to(types[random.integers(len(types))])
    elif kind == 3:
        tensor = tensor.reshape(-1)[: int(random.integers(tensor.numel() + 1))]
    elif kind == 4:
        tensor = torch.cat([tensor.reshape(1, *tensor.shape)] * int(random.integers(1, 4)))
    elif kind == 5:
        tensor = torch.cat([tensor, tensor]) if tensor.ndim else tensor
    elif tensor.numel():  # other values
        flat = tensor.reshape(-1)
        place = random.integers(flat.numel(), size=int(random.integers(1, 4)))
        value = NUMBERS[random.integers(len(NUMBERS))]
        if tensor.dtype.is_floating_point:
            value = (float("nan"), float("inf"), 1e30, -1e30, 0.0, 1e-30)[random.integers(6)]
            flat[place] = torch.tensor(value).to(tensor.dtype)
        elif tensor.dtype == torch.bool:
            flat[place] = bool(random.integers(2))
        else:
            info = torch.iinfo(tensor.dtype)
            flat[place] = min(max(value, info.min), info.max)
    tensors[name] = tensor
    return f"{name} by way {kind}: {tensor.dtype} {tuple(tensor.shape)}"


class Process:
    """A process that loads files and predicts; it is started again after it has died, or was too slow."""

    def __init__(self, inputs: str = "models") -> None:
        self.inputs = inputs
        self.process: subprocess.Popen | None = None

    def run(self, path: Path, rows: Path | str = "") -> str:
        """What became of a file: "fine", "refused: ...", or what is wrong with it."""
        seconds = SECONDS
        if self.process is None:
            command = [sys.executable, "-m", "tests.fuzz", self.inputs]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            seconds = 120  # of importing
            if (answer := self._answer(seconds)) != "ready":
                return f"does not start: {answer}"
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(f"{path}\t{rows}\n".encode())
        self.process.stdin.flush()
        return self._answer(seconds)

    def _answer(self, seconds: float) -> str:
        assert self.process
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        answer = self.process.stdout.readline().decode().strip() if ready else "hangs"
        if not ready or not answer:
            answer = answer or f"crashes ({self.process.wait()})"
            self.close()
        return answer

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self.process = None


def _use_model(path: str, rows: str) -> None:
    """Load a file, predict with trust, and print its card."""
    import polars as pl

    import lamina
    from lamina.cli.render import show_card

    model, table = lamina.load(path), pl.read_ipc(rows)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        show_card(model.model_, Path(path))
    assert "\x1b[31m" not in out.getvalue(), "control characters on the screen"
    model.predict(table)
    model.predict(table, trust=model.model_.trust is not None)


def _judge(use: Callable[[str, str], None], path: str, rows: str) -> str:
    """What becomes of a file in use."""
    from lamina.errors import LaminaError

    try:
        use(path, rows)
        answer = "fine"
    except LaminaError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MemoryError) and "alloc" not in str(cause):
            cause = cause.__cause__
        answer = f"WRONG memory: {error}" if cause else f"refused: {error}"
    except BaseException as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        answer = f"WRONG {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    return " ".join(answer.split())


def _lines() -> Iterator[tuple[str, str]]:
    for line in sys.stdin:
        path, _, rows = line.strip().partition("\t")
        yield path, rows


if __name__ == "__main__":
    import warnings

    import lamina  # noqa: F401
    from lamina.cli import render  # noqa: F401

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    from tests import fuzz_readers

    if sys.argv[1] == "tables":
        with tempfile.TemporaryDirectory() as folder:
            fuzz_readers.warm_up(Path(folder))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    use = {"models": _use_model, "tables": fuzz_readers.judge}[sys.argv[1]]
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for path, rows in _lines():
        print(_judge(use, path, rows), file=answers, flush=True)
