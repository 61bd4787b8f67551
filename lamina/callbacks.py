"""Callbacks: user code during training, and callbacks for TensorBoard and MLflow.

::

    class Watch(lamina.callbacks.Callback):
        def on_epoch(self, event):
            print(event.epoch, event.train_loss, event.scores["loss"])

    lamina.fit("adult.parquet", "income", callbacks=[Watch(), lamina.callbacks.TensorBoard("logs")])

The events that the methods receive are in :mod:`lamina.train.events`.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

from lamina.errors import MissingExtraError
from lamina.train.callbacks import Callback
from lamina.train.events import (
    Compare,
    End,
    Epoch,
    Event,
    Fit,
    Job,
    Monitor,
    Refit,
    Shuffle,
    Start,
    Step,
    StopReason,
    Trial,
    Tune,
)

__all__ = [
    "Callback",
    "Compare",
    "End",
    "Epoch",
    "Event",
    "Fit",
    "Job",
    "MLflow",
    "Monitor",
    "Refit",
    "Shuffle",
    "Start",
    "Step",
    "StopReason",
    "TensorBoard",
    "Trial",
    "Tune",
]


class TensorBoard(Callback):
    """Writes losses, scores and the learning rate of each epoch for TensorBoard: ``tensorboard --logdir FOLDER``.

    Needs ``pip install 'lamina[tensorboard]'``.

    Args:
        folder: Directory of the event files.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        _extra("tensorboard", "tensorboard")
        self.folder = Path(folder)
        self._writer: Any = None

    def on_start(self, event: Start) -> None:
        self._writer = _extra("torch.utils.tensorboard", "tensorboard").SummaryWriter(os.fspath(self.folder))
        about = {"family": event.family, "rows": event.rows, "validation rows": event.validation_rows}
        self._writer.add_text("fit", f"```\n{json.dumps({**about, 'recipe': event.recipe.to_json()}, indent=1)}\n```")

    def on_epoch(self, event: Epoch) -> None:
        for name, value in _scalars(event).items():
            self._writer.add_scalar(name, value, event.epoch)

    def on_end(self, event: End) -> None:
        if self._writer is None:
            return
        for name, value in event.scores.items():
            self._writer.add_scalar(f"model/{name}", value, max(event.epochs - 1, 0))
        self._writer.close()
        self._writer = None


class MLflow(Callback):
    """Logs the recipe, losses and scores of each epoch, and the saved model, as a run of MLflow.

    Inside ``with mlflow.start_run():`` it logs to that run, else to a new one. Needs ``pip install 'lamina[mlflow]'``.

    Args:
        experiment: Name of the experiment; created if it does not exist.
        run_name: Name of the new run.
        tracking_uri: Tracking URI; None for MLflow's default.

    Raises:
        MissingExtraError: mlflow is not installed.
    """

    def __init__(self, experiment: str = "lamina", *, run_name: str | None = None, tracking_uri: str | None = None) -> None:
        _extra("mlflow", "mlflow")
        self.experiment, self.run_name, self.tracking_uri = experiment, run_name, tracking_uri
        self._client: Any = None
        self._run = ""
        self._owned = False

    def on_start(self, event: Start) -> None:
        mlflow = _extra("mlflow", "mlflow")
        self._client = mlflow.MlflowClient(self.tracking_uri)
        run = mlflow.active_run()
        self._owned = run is None
        if run is None:
            experiment = self._client.get_experiment_by_name(self.experiment)
            number = experiment.experiment_id if experiment else self._client.create_experiment(self.experiment)
            run = self._client.create_run(number, run_name=self.run_name)
        self._run = run.info.run_id
        about = {"family": event.family, "rows": event.rows, "validation_rows": event.validation_rows}
        recipe = {f"recipe.{name}": value for name, value in event.recipe.to_json().items()}
        for name, value in {**about, **recipe}.items():
            self._client.log_param(self._run, name, value)

    def on_epoch(self, event: Epoch) -> None:
        for name, value in _scalars(event).items():
            self._client.log_metric(self._run, name, value, step=event.epoch)

    def on_end(self, event: End) -> None:
        if not self._run:
            return
        for name, value in event.scores.items():
            self._client.log_metric(self._run, f"model/{name}", value)
        self._client.set_tag(self._run, "lamina.stopped", str(event.reason))
        if event.model is not None:
            self._client.log_artifact(self._run, event.model)
        if self._owned:
            ended = {StopReason.FAILED: "FAILED", StopReason.INTERRUPTED: "KILLED"}.get(event.reason, "FINISHED")
            self._client.set_terminated(self._run, ended)
        self._client, self._run = None, ""


def _scalars(event: Epoch) -> dict[str, float]:
    scalars = {f"validation/{name}": value for name, value in event.scores.items()}
    scalars["learning_rate"] = event.learning_rate
    return scalars if event.train_loss is None else {"train/loss": event.train_loss, **scalars}


def _extra(module: str, extra: str) -> Any:
    """Import a module that an extra of lamina installs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{extra} cannot be imported here ({error}); pip install 'lamina[{extra}]'") from error
