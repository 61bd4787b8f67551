"""Time to 99 % test accuracy on MNIST with LeNet-5, from a cold start, the same network and recipe everywhere.

Every measurement is a fresh process: 61,706 weights (28 x 28 padded to 32 x 32; relu, max pooling, dense outputs), Adam at
1e-3, batches of 64, float32, all 60,000 training images, no augmentation. After each epoch the 10,000 test images are
predicted; the clock stops when 99 % are right. For lamina they are the validation rows.

- *from a cold start*: from the start of the process: imports, encoding, compiling or tracing, training, and predicting the test
  images. The images are read from one uncompressed file.
- *training alone*: the steps of the epochs.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import measure

PEERS = ("lamina", "PyTorch", "Keras on JAX")
TARGET, EPOCHS, PARAMETERS, BATCH_SIZE = 0.99, 20, 61_706, 64


def main(report: measure.Report, peers: list[str], repeats: int, threads: list[int], rows: int | None = None) -> None:
    runs = [(peer, count) for peer in peers for count in ([None] if peer == "lamina" else threads)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "mnist.npz")
        measure.prepare("benchmarks.lenet:write", path=path, rows=rows)
        for repeat, (peer, count) in measure.alternate(runs, repeats):
            given = {"peer": peer, "path": path, "seed": repeat, "started": time.time()}
            result = measure.run("benchmarks.lenet:until", threads=count, pin="Keras" in peer, timeout=3600, **given)
            report.add(kind="lenet", peer=peer, threads=count, repeat=repeat, **result)


def write(path: str, rows: int | None) -> dict[str, Any]:
    """Write the images for all processes; with ``rows`` only so many, to test the benchmark."""
    import numpy as np

    from benchmarks import datasets

    train, test = (part.some(rows) for part in datasets.load_rows("mnist"))
    np.savez(path, X=train.values, y=train.labels, test_X=test.values, test_y=test.labels)
    return {}


def until(peer: str, path: str, seed: int, started: float, epochs: int = EPOCHS) -> dict[str, Any]:
    """Train until the target is reached; ``started`` is the wall clock before the process was started."""
    import numpy as np

    with np.load(path) as arrays:
        X, y, test_X, test_y = (arrays[name] for name in ("X", "y", "test_X", "test_y"))
    reached: list[float] = []

    def is_reached(accuracy: float) -> bool:
        reached.append(accuracy)
        return accuracy >= TARGET

    run = _lamina if peer == "lamina" else _peer
    train_seconds, parameters = run(peer, (X, y, test_X, test_y), seed, epochs, is_reached)
    if parameters != PARAMETERS:
        raise ValueError(f"{peer} trained {parameters} parameters, LeNet-5 has {PARAMETERS}")
    seconds = time.time() - started
    return {"seconds": seconds, "train_seconds": train_seconds, "epochs": len(reached), "accuracy": reached[-1]}


class Reached(Exception):
    """The target accuracy was reached."""


def _lamina(peer: str, arrays: Any, seed: int, epochs: int, is_reached: Any) -> tuple[float, int]:
    import lamina
    from lamina.families import Convolutional

    X, y, test_X, test_y = arrays
    import numpy as np

    data = {"image": np.concatenate([X, test_X]), "label": np.concatenate([y, test_y])}
    data["part"] = np.array(["train"] * len(y) + ["test"] * len(test_y))
    recipe = lamina.Recipe(
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        batch_size=BATCH_SIZE,
        epochs=epochs,
        patience=None,
        weight_decay=0.0,
        ema_decay=None,
        augment=None,
    )
    seen: dict[str, Any] = {"seconds": 0.0, "parameters": 0}

    from lamina.callbacks import Epoch, Event, Start

    def monitor(event: Event) -> None:
        if isinstance(event, Start):
            assert event.net is not None
            seen["parameters"] = event.net.plan.parameter_count
        elif isinstance(event, Epoch):
            seen["seconds"] += event.train_seconds
            if is_reached(event.scores["accuracy"]):
                raise Reached

    family = Convolutional(architecture="lenet5", dropout=0.0)
    try:
        lamina.fit(data, "label", split="part", task="classification", family=family, recipe=recipe, seed=seed, monitor=monitor)
    except Reached:
        pass
    return seen["seconds"], seen["parameters"]


def _peer(peer: str, arrays: Any, seed: int, epochs: int, is_reached: Any) -> tuple[float, int]:
    from benchmarks.nets import NETS

    X, y, test_X, test_y = arrays
    net = NETS[peer](10, seed=seed, epochs=epochs)
    net.fit(X, y, lambda predict: is_reached(float((predict(test_X).argmax(1) == test_y).mean())))
    return net.train_seconds, net.parameters


# ---------------------------------------------------------------- the page
def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for peer, threads in dict.fromkeys((result["peer"], result["threads"]) for result in results):
        own = [result for result in results if (result["peer"], result["threads"]) == (peer, threads)]
        good = [result for result in own if result.get("accuracy", 0) >= TARGET]
        name = [peer, "its choice" if threads is None else threads]
        if not good:
            why = own[0].get("error") or f"{own[0]['accuracy']:.2%} after {own[0]['epochs']} epochs"
            rows.append([*name, f"not reached: {why}", "", "", f"0 of {len(own)}"])
            continue
        cells = [measure.spread([result[key] for result in good]) for key in ("seconds", "train_seconds", "epochs")]
        rows.append([*name, *cells, f"{len(good)} of {len(own)}"])
    header = ["LeNet-5 on MNIST to 99 %", "threads", "from a cold start, s", "training alone, s", "epochs", "reached"]
    return measure.table(header, rows) if rows else ""
