"""A process of a comparison: it learns one candidate on one fold at a time, as it is told, and says how that went.

A process of its own can be ended when time is up, and a candidate that brings it down takes no other with it. Told and said are
lines of JSON on stdin and stdout.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

OUT_OF_MEMORY = "ran out of memory"


def main() -> None:
    """Read jobs until there are none."""
    said, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not get between the lines
    folder = Path(sys.argv[1])
    memory = float(sys.argv[2]) if len(sys.argv) > 2 else None
    warnings.simplefilter("ignore")
    try:
        work, ready = Work(folder), {"ready": True}
        if memory is not None:
            _limit_memory(memory)
    except Exception as error:  # is the answer to the first job, too: the same process would fail again
        work, ready = None, {"failed": str(error) or type(error).__name__}
    print(json.dumps(ready), file=said, flush=True)
    for line in sys.stdin:
        if work is None:
            return
        print(json.dumps(answer(work, json.loads(line))), file=said, flush=True)


def answer(work: Work, job: dict[str, Any]) -> dict[str, Any]:
    """What came of a job: scores and costs, or why it failed."""
    try:
        return work.do(job["family"], job["fold"], job.get("time_limit"))
    except MemoryError:
        return {"failed": OUT_OF_MEMORY}
    except Exception as error:  # whatever goes wrong in a candidate is its result, and the others go on
        short = "memory" in str(error).lower() and "alloc" in str(error).lower()
        why = " ".join(str(error).split()) or type(error).__name__
        return {"failed": OUT_OF_MEMORY if short else f"in fold {job['fold'] + 1}, {why}"}


class Work:
    """The rows and the folds of a comparison, held while the process lives."""

    def __init__(self, folder: Path) -> None:
        import numpy as np
        import torch

        from lamina.data.read import read_table
        from lamina.learn import Settings
        from lamina.tasks.task import Task
        from lamina.train.run import Run

        for module in ("ensemble", "linear_model", "feature_extraction.text"):
            importlib.import_module(f"sklearn.{module}")  # before any fit is timed
        run = Run.open(folder)
        asked = run.settings
        torch.set_num_threads(asked["threads"])
        self.settings = Settings.from_json(asked["asked"])
        with np.load(folder / "folds.npz") as folds:
            known = folds["known"]
            self.folds = [(folds[f"train{i}"], folds[f"test{i}"]) for i in range((len(folds.files) - 1) // 2)]
        self.table = read_table(run.data_path)[known]
        self.task = Task.infer(self.table, self.settings.targets, kind=self.settings.task, min_class_rows=1)

    def do(self, family: dict[str, Any], fold: int, time_limit: float | None) -> dict[str, Any]:
        """Learn one candidate from the rows of a fold and score it on the others."""
        from lamina import store
        from lamina.data.weights import row_weights
        from lamina.families import make_family
        from lamina.fitting.settings import SEEDS
        from lamina.learn import learn
        from lamina.tasks.metrics import scores

        train, test = self.folds[fold]
        options = dict(family)
        chosen = options.pop("name")
        recipe = self.settings.recipe
        if time_limit is not None and (recipe.time_limit is None or recipe.time_limit > time_limit):
            recipe = dataclasses.replace(recipe, time_limit=time_limit)
        settings = dataclasses.replace(
            self.settings,
            family=make_family(chosen).from_json(options),
            recipe=recipe,
            trust=False,
            task=self.task.name,  # the rows of a fold may look like another
            fewest=1,  # of a class that is rare, a fold may have a single row to learn from
            seed=(self.settings.seed + fold) % SEEDS,
            # which rows are asked about is decided; who learns holds back rows of its own
            split=None,
            drop=(*(self.settings.drop or ()), *((self.settings.split,) if self.settings.split else ())),
        )
        began = time.perf_counter()
        model = learn(self.table[train], settings)
        fit_seconds = time.perf_counter() - began
        asked = self.table[test]
        began = time.perf_counter()
        prediction = self.task.adopting(model.task).predict(self.task.align(model.outputs(asked), model.task))
        predict_seconds = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as temporary:
            size = store.save(model, Path(temporary) / "m.lamina").stat().st_size
        return {
            "scores": scores(self.task.metrics, self.task.truth(asked), prediction, row_weights(asked, model.schema)),
            "fit_seconds": fit_seconds,
            "predict_micros": predict_seconds / len(test) * 1e6,
            "bytes": size,
            "parameters": model.predictor.size(),
            "same": self._mark(prediction.outputs),
            "alike": self._alike(prediction.decision),
        }

    def _alike(self, decision: Any) -> bool:
        """Whether every row gets the same prediction."""
        import numpy as np

        return len(decision) > 1 and np.allclose(decision, decision[0], rtol=1e-9, atol=0)

    def _mark(self, said: Any) -> str:
        """A word for what was said, the same for two candidates that say the same."""
        import hashlib

        import numpy as np

        return hashlib.sha256(np.round(np.asarray(said, dtype=np.float64), 9).tobytes()).hexdigest()[:16]


def _limit_memory(gigabytes: float) -> None:
    """What the process may take on top of programs and files: allocations beyond it fail, and with them the candidate."""
    import resource

    limit = int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()
