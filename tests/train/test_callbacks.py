"""Callbacks: when they are called, stopping, errors, and the ready ones."""

import importlib.util

import numpy as np
import pytest
import torch
from sklearn.base import clone

import lamina
from lamina.callbacks import Callback, End, Epoch, MLflow, Start, StopReason, TensorBoard
from lamina.errors import MissingExtraError, OptionError, RunError
from lamina.graph.graph import Graph
from lamina.train.run import Run
from tests.contract import table

TINY = lamina.FeedForward(hidden_sizes=(8,), members=1, number_embedding=None, dropout=0.0)


def fit(*callbacks, family=TINY, kind="binary", epochs=3, run=None, edit=None, monitor=None, **recipe):
    frame, target = table(kind, 80)
    recipe = lamina.Recipe(**{"epochs": epochs, "batch_size": 16, "learning_rate": 0.01, "patience": None, **recipe})
    options = {"run": run, "edit": edit, "monitor": monitor, "seed": 0, "device": "cpu"}
    return lamina.fit(frame, target, family=family, recipe=recipe, callbacks=list(callbacks), **options)


class Watch(Callback):
    """Keeps what it receives; stops after some epochs."""

    def __init__(self, stop=None):
        self.stop, self.events = stop, []

    def on_start(self, event):
        self.events.append(event)

    def on_epoch(self, event):
        self.events.append(event)
        return event.epoch == self.stop

    def on_end(self, event):
        self.events.append(event)


class Steps(Callback):
    def __init__(self, stop=None, read=True):
        self.stop, self.read, self.steps, self.ended = stop, read, [], []

    def on_step(self, event):
        self.steps.append((event.epoch, event.step, event.loss if self.read else None))
        return len(self.steps) == self.stop

    def on_end(self, event):
        self.ended.append(event)


def test_each_is_called_in_order_with_typed_events():
    watch = Watch()
    model = fit(watch)
    assert [type(event) for event in watch.events] == [Start, Epoch, Epoch, Epoch, End]
    start, end = watch.events[0], watch.events[-1]
    assert (start.rows, start.validation_rows, start.family, start.recipe.epochs) == (68, 12, "feedforward", 3)
    assert [event.scores["loss"] for event in watch.events[1:4]] == [epoch["validation_loss"] for epoch in model.history_]
    assert (end.reason, end.epochs, end.best_epoch) == (StopReason.EPOCHS, 3, model.model_.card["best_epoch"])
    assert end.scores == model.model_.card["validation"]


def test_the_loss_of_each_step_is_that_of_its_rows():
    steps = Steps()
    model = fit(steps)
    assert [step[:2] for step in steps.steps] == [(epoch, step) for epoch in range(3) for step in range(1, 6)]
    rows = np.array([16, 16, 16, 16, 4])
    for epoch in range(3):
        losses = np.array([step[2] for step in steps.steps if step[0] == epoch])
        assert losses @ rows / 68 == pytest.approx(model.history_[epoch]["train_loss"], rel=1e-9)


def test_callbacks_leave_the_numbers_alone():
    watched, alone = fit(Watch(), Steps(read=False)), fit()
    for mine, other in zip(watched.model_.net.state_dict().values(), alone.model_.net.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


def test_a_step_is_reported_now_and_then_only_unless_a_callback_asks(monkeypatch):
    intervals = []
    run_epoch = lamina.train.step.Trainer.run_epoch
    monkeypatch.setattr(
        lamina.train.step.Trainer, "run_epoch", lambda self, *args: intervals.append(args[3]) or run_epoch(self, *args)
    )
    fit(Watch(), epochs=1)
    fit(Steps(), epochs=1)
    assert intervals == [0.05, 0.0]


def test_an_epoch_that_returns_true_is_the_last_and_the_best_weights_are_kept(tmp_path):
    watch = Watch(stop=1)
    model = fit(watch, epochs=50, run=tmp_path / "r")
    card = model.model_.card
    assert (card["stopped"], card["stopped_by"], len(card["history"])) == (StopReason.CALLBACK, "Watch", 2)
    assert (watch.events[-1].reason, watch.events[-1].stopped_by) == (StopReason.CALLBACK, "Watch")
    assert card["validation"]["log_loss"] == pytest.approx(min(e["validation_loss"] for e in model.history_), rel=1e-9)
    run = Run.open(tmp_path / "r")
    assert run.finished
    assert run.events()[-1] == watch.events[-1]
    assert lamina.load(run.model_path).model_.card == card


def test_a_step_that_returns_true_ends_training_at_once():
    steps = Steps(stop=7)
    model = fit(steps, epochs=50)
    assert len(steps.steps) == 7
    assert [epoch["train_loss"] is None for epoch in model.history_] == [False, True]
    assert (model.model_.card["stopped"], steps.ended[0].stopped_by) == (StopReason.CALLBACK, "Steps")


def test_the_weights_of_an_epoch_event_are_those_that_were_validated():
    class Read(Callback):
        best = None

        def on_epoch(self, event):
            assert not event.net.training
            if event.best:
                self.best = {name: tensor.clone() for name, tensor in event.net.state_dict().items()}

    read = Read()
    model = fit(read)
    assert all(torch.equal(tensor, read.best[name]) for name, tensor in model.model_.net.state_dict().items())


def test_an_error_ends_training_and_what_was_saved_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("lamina.train.loop.CHECKPOINT_SECONDS", 0.0)
    watch = Watch()

    class Broken(Callback):
        def on_epoch(self, event):
            if event.epoch == 1:
                raise ZeroDivisionError("too deep")

        def on_end(self, event):
            raise KeyError("again")

    with pytest.raises(ZeroDivisionError, match="too deep") as caught:
        fit(watch, Broken(), run=tmp_path / "r")
    assert caught.value.__notes__ == ["then Broken.on_end failed as well: 'again'"]
    assert (watch.events[-1].reason, watch.events[-1].error) == (StopReason.FAILED, "too deep")
    assert [event.epoch for event in Run.open(tmp_path / "r").events() if isinstance(event, Epoch)] == [0, 1]
    resumed, whole = lamina.resume(tmp_path / "r", monitor=None, callbacks=[watch]), fit()
    assert watch.events[-1].reason is StopReason.EPOCHS
    assert [e["validation_loss"] for e in resumed.history_] == [e["validation_loss"] for e in whole.history_]


@pytest.mark.parametrize("family", ["forest", "linear"])
def test_a_classical_family_calls_start_and_end_and_notes_the_rest(family):
    watch = Watch()
    model = fit(watch, family=family)
    assert [type(event) for event in watch.events] == [Start, End]
    assert watch.events[-1].reason is StopReason.FITTED
    assert f"{family} is not trained in epochs: Watch.on_epoch is never called" in model.model_.card["notes"]
    assert model.model_.card["split"]["out_of_bag"] is (family == "forest")


class Says(Callback):
    def __init__(self, method, returned):
        setattr(self, method, lambda event: returned)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Watch(), r"callbacks is <.*Watch object at .*>, expected a list of callbacks, such as callbacks=\[MyCallback\(\)\]"),
        ([print], r"callbacks\[0\] is <built-in function print>, expected an instance of lamina.callbacks.Callback"),
        ([Watch(), Watch], r"callbacks\[1\] is the class Watch; give an instance: Watch\(\)"),
        ([Says("on_epoch", "stop")], r"Says.on_epoch returned 'stop', expected True to stop training, else False or None"),
        ([Says("on_start", True)], r"Says.on_start returned True, expected None; only on_step and on_epoch can stop training"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks, message):
    frame, target = table("binary", 40)
    with pytest.raises(OptionError, match=message):
        lamina.fit(frame, target, family=TINY, recipe=lamina.Recipe(epochs=1), callbacks=callbacks, monitor=None)


def test_estimators_take_callbacks_and_can_be_cloned():
    watch = Watch()
    estimator = lamina.Regressor(TINY, lamina.Recipe(epochs=2), callbacks=[watch], random_state=0)
    copy = clone(estimator)
    assert copy.callbacks[0] is not watch
    x = np.arange(40.0)
    estimator.fit(x[:, None], x)
    assert [type(event) for event in watch.events] == [Start, Epoch, Epoch, End]
    assert copy.callbacks[0].events == []


# edit=


def test_edit_is_public_and_a_resumed_run_asks_for_it(tmp_path):
    def widen(epoch, net):
        return net.plan.graph.widen("hidden1", 16) if epoch == 1 else None

    class Broken(Callback):
        def on_epoch(self, event):
            raise ZeroDivisionError

    assert fit(edit=widen).model_.net.plan.graph.layers["hidden1"].size == 16
    with pytest.raises(ZeroDivisionError):
        fit(Broken(), edit=widen, run=tmp_path / "r")
    with pytest.raises(RunError, match=r"was begun with edit=, a function that no file keeps; give it again: lamina.resume\("):
        lamina.resume(tmp_path / "r", monitor=None)
    resumed = lamina.resume(tmp_path / "r", monitor=None, edit=widen)
    assert resumed.model_.net.plan.graph.layers["hidden1"].size == 16


def test_wrong_edits_are_refused():
    with pytest.raises(OptionError, match="the family 'forest' is no network; leave edit out"):
        fit(family="forest", edit=lambda epoch, net: None)
    with pytest.raises(OptionError, match="edit is 'wide', expected a function of the number of the epoch and the net"):
        fit(edit="wide")
    with pytest.raises(OptionError, match="edit returned 7, expected a lamina.graph.Graph, or None for no change"):
        fit(edit=lambda epoch, net: 7)
    assert Graph is lamina.graph.Graph


# Ready ones


@pytest.mark.parametrize(("make", "extra"), [(lambda: TensorBoard("logs"), "tensorboard"), (MLflow, "mlflow")])
def test_without_its_extra_the_error_has_the_install_command(make, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, extra, None)
    with pytest.raises(MissingExtraError, match=rf"{extra} cannot be imported here .*; pip install 'lamina\[{extra}\]'"):
        make()


def installed(name):
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


@installed("tensorboard")
@pytest.mark.filterwarnings("default")
def test_tensorboard_reads_what_was_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = fit(*clone([TensorBoard(tmp_path / "logs")], safe=False))
    logged = EventAccumulator(str(tmp_path / "logs"))
    logged.Reload()
    assert logged.Tags()["scalars"] == [
        "train/loss",
        "validation/loss",
        "validation/accuracy",
        "learning_rate",
        *(f"model/{name}" for name in model.model_.card["validation"]),
    ]
    losses = [(event.step, event.value) for event in logged.Scalars("validation/loss")]
    assert losses == [(e["epoch"], pytest.approx(e["validation_loss"], rel=1e-6)) for e in model.history_]


@installed("mlflow")
@pytest.mark.filterwarnings("default")
def test_mlflow_keeps_what_was_logged(tmp_path):
    import mlflow

    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(place)
    client.create_experiment("lamina", artifact_location=(tmp_path / "artifacts").as_uri())
    model = fit(MLflow(tracking_uri=place), run=tmp_path / "r")
    runs = client.search_runs([client.get_experiment_by_name("lamina").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert (runs[0].data.params["family"], runs[0].data.params["recipe.epochs"]) == ("feedforward", "3")
    history = client.get_metric_history(runs[0].info.run_id, "validation/loss")
    assert [(one.step, one.value) for one in history] == [(e["epoch"], e["validation_loss"]) for e in model.history_]
    assert [one.path for one in client.list_artifacts(runs[0].info.run_id)] == ["model.lamina"]
