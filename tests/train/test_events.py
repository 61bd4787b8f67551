"""Events: JSON both ways, and the lines of earlier versions."""

import json
import math
from pathlib import Path

import pytest

import lamina
from lamina.errors import RunError
from lamina.train.events import (
    Compare,
    End,
    Epoch,
    Fit,
    Job,
    Refit,
    Result,
    Shuffle,
    Start,
    Step,
    StopReason,
    from_json,
)
from lamina.train.recipe import Recipe
from lamina.train.run import Run

EVENTS = [
    Start(80, 20, "forest", Recipe(epochs=3), ("a note",), True),
    Step(1, 2, 3, 0.5),
    Epoch(0, None, 0.01, 10, 1.0, 1.5, True, {"loss": 0.25, "accuracy": 0.75}),
    Fit(0.5),
    End(StopReason.CALLBACK, "Watch", 3, 1, 2.5, "m.lamina", {"accuracy": 0.5}),
    Compare({"forest": {"name": "forest"}}, 3, "at random", 100, ("a leak",), ("a note",)),
    Result("forest", 1, measured={"scores": {"accuracy": 0.5}, "bytes": 7}),
    Result("forest", 1, "ran out of luck", {"time_limit": 1.0}),
    Job(1, 2, "forest", 0, "ran out of luck"),
    Refit("forest"),
    Shuffle("age", 0.5),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_json_both_ways(event):
    assert from_json(json.loads(json.dumps(event.to_json()))) == event


def test_scores_are_top_level_keys():
    assert EVENTS[2].to_json()["validation_accuracy"] == 0.75
    assert EVENTS[6].to_json()["bytes"] == 7
    assert math.isnan(EVENTS[1].loss)


EARLIER = """\
{"event": "start", "rows": 68, "validation_rows": 12, "recipe": {"epochs": 2}, "family": "feedforward"}
{"event": "epoch", "epoch": 0, "train_loss": 0.7, "validation_loss": 0.6, "validation_accuracy": 0.5, "learning_rate": 0.01, \
"steps": 5, "train_seconds": 0.1, "seconds": 0.2, "best": true}
{"event": "stopped", "reason": "interrupted", "model": "runs/a-1/model.lamina"}
"""
DONE = '{"event": "done", "reason": "all epochs done", "model": "runs/a-1/model.lamina"}'


def test_events_of_lamina_0_1_are_read(tmp_path):
    run = Run.create(tmp_path / "r", {})
    (run.folder / "events.jsonl").write_text(EARLIER)
    start, epoch, stopped = run.events()
    assert (start.rows, start.recipe, start.notes) == (68, Recipe(epochs=2), ())
    assert epoch == Epoch(0, 0.7, 0.01, 5, 0.1, 0.2, True, {"loss": 0.6, "accuracy": 0.5})
    assert stopped == End(StopReason.INTERRUPTED, model="runs/a-1/model.lamina")
    run.model_path.write_text("")
    assert not run.finished
    (run.folder / "events.jsonl").write_text(EARLIER + DONE + "\n")
    assert run.events()[-1] == End(StopReason.EPOCHS, model="runs/a-1/model.lamina")
    assert run.finished


def test_the_card_of_lamina_0_1_has_ids():
    card = lamina.load(Path(__file__).parent.parent / "golden" / "0.1.0.lamina").model_.card
    assert card["stopped"] is StopReason.EPOCHS
    assert (card["stopped_by"], card["split"]["out_of_bag"]) == ("", False)


def test_events_of_a_newer_lamina_are_refused():
    with pytest.raises(RunError, match="a run holds the event 'dream', which this lamina does not know; upgrade"):
        from_json({"event": "dream"})
    with pytest.raises(RunError, match="a run holds an event 'epoch' that cannot be read: .*'train_loss'"):
        from_json({"event": "epoch", "epoch": 1})
    with pytest.raises(ValueError, match="'tired' is not a valid StopReason"):
        StopReason("tired")
