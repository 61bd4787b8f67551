"""The process that fits the trials of a tuning, one fit at a time; it can be killed at the time limit.

It reads jobs from stdin and writes lines of JSON to stdout: the loss after each epoch, and the result of each job. The line
``"stop"`` on stdin ends the training of the present job.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from lamina.comparison.worker import OUT_OF_MEMORY, Work, fold_settings
from lamina.train.callbacks import Callback
from lamina.train.events import Epoch, Start


def main() -> None:
    """Run the jobs on stdin; end as soon as it is closed."""
    out, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not write between the lines
    warnings.simplefilter("ignore")
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop = threading.Event()

    def read() -> None:
        for line in sys.stdin:
            if (job := json.loads(line)) == "stop":
                stop.set()
            else:
                jobs.put(job)
        os._exit(1)

    def write(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=out, flush=True)

    threading.Thread(target=read, daemon=True).start()
    try:
        folder = Path(sys.argv[1])
        work = Work(folder)
    except Exception as error:
        write({"failed": _reason(error)})
        os._exit(1)
    write({"ready": True})
    while True:
        job = jobs.get()
        stop.clear()
        try:
            write(_run(work, folder, job, _Report(write, stop) if job["epochs"] else None))
        except MemoryError:
            write({"failed": OUT_OF_MEMORY})
        except Exception as error:
            write({"failed": _reason(error)})


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Report(Callback):
    """Writes the lowest validation loss after each epoch, and stops where the parent says so."""

    def __init__(self, write: Any, stop: threading.Event) -> None:
        self.write, self.stop = write, stop
        self.epochs, self.lowest = 0, math.inf

    def on_start(self, event: Start) -> None:
        self.epochs = int(event.recipe.epochs) if event.net is not None else 0

    def on_epoch(self, event: Epoch) -> bool:
        self.lowest = min(self.lowest, event.scores["loss"])
        self.write({"epoch": event.epoch, "loss": self.lowest if math.isfinite(self.lowest) else None, "epochs": self.epochs})
        return self.stop.is_set()


def _run(work: Work, folder: Path, job: dict[str, Any], report: _Report | None) -> dict[str, Any]:
    """Fit to the training rows of a fold, and score on its test rows; the model is saved where the job names a file."""
    import numpy as np

    from lamina import store
    from lamina.data.weights import row_weights
    from lamina.fitting.fit import fit_model
    from lamina.functions import recall
    from lamina.train.recipe import Recipe

    train, test = work.folds[job["fold"]]
    recipe = recall(Recipe.from_json(job["recipe"]))
    settings = fold_settings(work.settings, work.task, job["family"], job["fold"], time_limit=job["time_limit"], recipe=recipe)
    start = time.perf_counter()
    model = fit_model(work.table[train], settings, callbacks=[report] if report else None)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {
        "fit_seconds": seconds,
        "decided": {"family": model.card["family"], "recipe": model.card["recipe"]},
        "stopped": str(model.card["stopped"]),
    }
    if job["save"]:
        store.save(model, folder / job["save"])
        return result
    rows = work.table[test]
    outputs = model.outputs(rows)
    if not np.isfinite(outputs).all():
        return {"failed": "its predictions are not finite"}
    prediction = work.task.adopting(model.task).predict(work.task.align(outputs, model.task))
    score = work.metric(work.task.truth(rows), prediction, row_weights(rows, model.schema))
    return {**result, "score": score if math.isfinite(score) else None}


if __name__ == "__main__":
    main()
