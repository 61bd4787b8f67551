"""A worker process of a comparison: it fits and scores one candidate on one fold at a time.

A separate process can be killed at the time limit, and one that crashes does not affect the others. It reads jobs from stdin
and writes results to stdout, one line of JSON each.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import os
import queue
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.comparison.foreign import is_foreign

if TYPE_CHECKING:
    from lamina.fitting.settings import Settings
    from lamina.tasks.prediction import Prediction
    from lamina.tasks.task import Task
    from lamina.train.recipe import Recipe

OUT_OF_MEMORY = "ran out of memory"


def main() -> None:
    """Run the jobs on stdin; end as soon as it is closed."""
    out = os.fdopen(os.dup(1), "w")  # what libraries print, also those in C, must not be between the results
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    folder = Path(sys.argv[1])
    memory = float(sys.argv[2]) if len(sys.argv) > 2 else None
    warnings.simplefilter("ignore")
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    try:
        work, ready = Work(folder), {"ready": True}
        if memory is not None:
            _limit_memory(memory)
    except Exception as error:  # also the result of the first job: the process would fail again
        work, ready = None, {"failed": str(error) or type(error).__name__}
    print(json.dumps(ready), file=out, flush=True)
    if work is None:
        os._exit(1)
    while True:
        print(json.dumps(run_job(work, json.loads(jobs.get()))), file=out, flush=True)


def _read_jobs(jobs: queue.SimpleQueue[str]) -> None:
    """Queue the lines of stdin; end the process, also in the middle of a fit, where stdin ends: then its parent was killed."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(1)


def run_job(work: Work, job: dict[str, Any]) -> dict[str, Any]:
    """The result of a job: scores and costs, or the reason of a failure."""
    try:
        return work.fit_and_score(job["family"], job["fold"], job.get("time_limit"))
    except MemoryError:
        return {"failed": OUT_OF_MEMORY}
    except Exception as error:  # an error of a candidate is its result
        no_memory = "memory" in str(error).lower() and "alloc" in str(error).lower()
        reason = " ".join(str(error).split()) or type(error).__name__
        retry = {"retry": True} if is_foreign(job["family"]) else {}  # its code may change until the next call
        return {"failed": OUT_OF_MEMORY if no_memory else f"in fold {job['fold'] + 1}, {reason}"} | retry


def fold_settings(
    settings: Settings,
    task: Task,
    family: dict[str, Any],
    fold: int,
    *,
    time_limit: float | None = None,
    recipe: Recipe | None = None,
) -> Settings:
    """The settings of a fit to the training rows of a fold: all is as it was decided on all rows."""
    from lamina.families import family_from_json
    from lamina.fitting.settings import SEEDS
    from lamina.functions import recall

    recipe = recipe or settings.recipe
    if time_limit is not None and (recipe.time_limit is None or recipe.time_limit > time_limit):
        recipe = dataclasses.replace(recipe, time_limit=time_limit)
    return dataclasses.replace(
        settings,
        family=recall(family_from_json(family)),
        recipe=recipe,
        trust=False,
        task=task.name,  # the rows of one fold might suggest another
        merge_rare=False,  # they are merged in the table, and bad rows are left out
        skip_bad=False,
        typed=True,  # as all rows of the comparison are read
        fewest=1,  # a fold may have a single training row of a rare class
        seed=(settings.seed + fold) % SEEDS,
        # the test rows are chosen; a fit chooses its validation rows among the training rows
        split=None,
        drop=(*(settings.drop or ()), *((settings.split,) if settings.split else ())),
    )


class Work:
    """The rows and folds of a comparison, loaded once per process."""

    def __init__(self, folder: Path) -> None:
        import numpy as np
        import torch

        from lamina.data.read import read_source
        from lamina.fitting.prepare import prepare
        from lamina.fitting.settings import Settings
        from lamina.functions import recall
        from lamina.train.run import Run

        for module in ("ensemble", "linear_model", "feature_extraction.text"):
            importlib.import_module(f"sklearn.{module}")  # before any fit is timed
        run = Run.open(folder)
        torch.set_num_threads(run.settings["threads"])
        self.settings = recall(Settings.from_json(run.settings["asked"]))
        with np.load(folder / "folds.npz") as folds:
            self.folds = [(folds[f"train{i}"], folds[f"test{i}"]) for i in range(len(folds.files) // 2)]
        table = read_source(run.data_path, skip_bad=self.settings.skip_bad).table
        prepared = prepare(table, self.settings)
        self.table, self.task, self.schema = prepared.table, prepared.task, prepared.schema
        self.metric = self.task.metric(run.settings["metric"])

    def fit_and_score(self, family: dict[str, Any], fold: int, time_limit: float | None) -> dict[str, Any]:
        """Fit a candidate to the training rows of a fold and score it on the test rows."""
        if is_foreign(family):
            return self.fit_foreign(family, fold)
        from lamina import store
        from lamina.data.weights import row_weights
        from lamina.fitting.fit import fit_model
        from lamina.tasks.metrics import scores

        train, test = self.folds[fold]
        settings = fold_settings(self.settings, self.task, family, fold, time_limit=time_limit)
        start = time.perf_counter()
        model = fit_model(self.table[train], settings)
        fit_seconds = time.perf_counter() - start
        rows = self.table[test]
        start = time.perf_counter()
        prediction = self.task.adopting(model.task).predict(self.task.align(model.outputs(rows), model.task))
        predict_seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as temporary:
            size = store.save(model, Path(temporary) / "m.lamina").stat().st_size
        return {
            "scores": scores(self.task.metrics, self.task.truth(rows), prediction, row_weights(rows, model.schema)),
            "fit_seconds": fit_seconds,
            "predict_micros": predict_seconds / len(test) * 1e6,
            "bytes": size,
            "parameters": model.predictor.size(),
            **_compared(prediction),
        }

    def fit_foreign(self, family: dict[str, Any], fold: int) -> dict[str, Any]:
        """Fit a scikit-learn estimator to the training rows of a fold and score it on the test rows."""
        from sklearn import config_context

        from lamina.comparison.foreign import load
        from lamina.comparison.foreign_fit import fit_and_predict
        from lamina.data.weights import row_weights
        from lamina.fitting.settings import SEEDS
        from lamina.tasks.metrics import scores

        train, rows = (self.table[part] for part in self.folds[fold])
        weight = row_weights(train, self.schema)
        if self.settings.class_weight is not None:
            by_class = self.task.class_weights(train, self.settings.class_weight)  # pyright: ignore[reportArgumentType]
            weight = by_class if weight is None else weight * by_class
        estimator, config = load(family)
        with config_context(**config):
            fitted = fit_and_predict(
                estimator,
                train,
                rows,
                schema=self.schema,
                task=self.task,
                metric=self.metric,
                weight=weight,
                seed=(self.settings.seed + fold) % SEEDS,
            )
        return {
            "scores": scores(fitted.metrics, self.task.truth(rows), fitted.prediction, row_weights(rows, self.schema)),
            "fit_seconds": fitted.fit_seconds,
            "predict_micros": fitted.predict_seconds / len(rows) * 1e6,
            "bytes": fitted.bytes,
            "parameters": fitted.size,
            "notes": fitted.notes,
            **_compared(fitted.prediction),
        }


def _compared(prediction: Prediction) -> dict[str, Any]:
    """What the predictions of a fold are compared by."""
    import numpy as np

    outputs, decision = np.round(np.asarray(prediction.outputs, dtype=np.float64), 9), prediction.decision
    return {
        "same": hashlib.sha256(outputs.tobytes()).hexdigest()[:16],  # equal for candidates with the same predictions
        "alike": len(decision) > 1 and np.allclose(decision, decision[0], rtol=1e-9, atol=0),  # in all rows
    }


def _limit_memory(gigabytes: float) -> None:
    """Limit the memory that the process can allocate; allocations beyond it raise MemoryError."""
    import resource

    limit = int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()
