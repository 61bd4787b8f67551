"""A model file whose checksum was computed again: it is refused, or predicts, and never crashes, hangs or fills the memory."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tests import fuzz
from tests.contract import quick, quick_rich

RUNS = int(os.environ.get("LAMINA_FUZZ", "0"))
"""Number of random files; 10,000 take about an hour."""
MODELS = {
    "network": lambda: quick_rich("feedforward", "all"),
    "image": lambda: quick_rich("convolutional", "image"),
    "text": lambda: quick_rich("attention", "text"),
    "series": lambda: quick_rich("recurrent", "series"),
    "table": lambda: quick("attention", "classes"),
    "forest": lambda: quick("forest", "regression"),
    "labels": lambda: quick("forest", "labels"),
    "boosting": lambda: quick("boosting", "classes"),
    "linear": lambda: quick_rich("linear", "all"),
    "neighbours": lambda: quick_rich("neighbours", "text"),
    "near": lambda: quick("neighbours", "targets"),
    "rocket": lambda: quick_rich("rocket", "series"),
    "ensemble": lambda: quick("ensemble", "classes"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function that returns the model file and the rows of a name, each fitted once."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def get(name: str) -> tuple[Path, Path]:
        if name not in made:
            model, rows = MODELS[name]()
            path, table = model.save(folder / f"{name}.lamina"), folder / f"{name}.arrow"
            rows.head(3).write_ipc(table)
            made[name] = path, table
        return made[name]

    return get


@pytest.fixture(scope="module")
def process():
    process = fuzz.Process()
    yield process
    process.close()


def attack(saved, process, tmp_path, name: str, change) -> str:
    """What becomes of a file of that name after a change of its JSON and tensors, which may return another JSON."""
    path, rows = saved(name)
    content, tensors = fuzz.contents(path)
    content = change(content, tensors) or content
    return process.run(fuzz.write(tmp_path / "m.lamina", content, tensors), rows)


def layer(content, kind: str) -> dict:
    """The options of the first layer of a kind."""
    nodes = content["predictor"]["graph"]["nodes"]
    return next(node["layer"] for node in nodes if node.get("layer", {}).get("type") == kind)


def block(content, kind: str) -> dict:
    return next(block for block in content["encoder"]["blocks"] if block["kind"] == kind)


def tokens(content) -> dict:
    return block(content, "wide_text")["text"]


def arrow(frame: pl.DataFrame) -> torch.Tensor:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def tokenizer(**changes):
    def change(content, tensors):
        own = tokens(content)
        own["tokenizer"] = json.dumps({**json.loads(own["tokenizer"]), **changes})

    return change


REGEX = {"type": "Split", "pattern": {"Regex": "(?:a|a)*$"}, "behavior": "Removed", "invert": True}
PADDING = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0}


def bomb(frame: pl.DataFrame):
    return lambda content, tensors: tensors.update({"trust/background": arrow(frame)})


def doubled(content, tensors) -> None:
    """A chain of joins, each of two copies of the one before: the width doubles with each."""
    graph = content["predictor"]["graph"]
    last = next(iter(graph["outputs"].values()))
    for number in range(40):
        names = [f"a{number}", f"b{number}", f"c{number}"]
        graph["nodes"] += [{"name": name, "layer": {"type": "Join", "join": "concat"}} for name in names]
        ends = [(last, names[0]), (last, names[1]), (names[0], names[2]), (names[1], names[2])]
        graph["edges"] += [{"source": a, "target": b, "delay": None, "projection": False} for a, b in ends]
        last = names[2]
    graph["outputs"] = {next(iter(graph["outputs"])): last}


def put(name: str, place: int, value: int):
    return lambda content, tensors: tensors[name].view(-1).__setitem__(place, value)


ATTACKS = {
    "a column of the trees out of range": ("forest", put("feature", 0, 10**8), "split by column 100000000"),
    "a column of the boosted trees out of range": ("boosting", put("feature", 0, 10**8), "split by column 100000000"),
    "children outside of the tree": ("forest", put("left", 0, 10**6), "a child outside of its tree"),
    "a leaf with a child": ("forest", put("left", -1, 10**8), "a leaf of the trees has a child"),
    "a root outside of the nodes": ("forest", put("roots", 1, 10**9), "roots do not divide"),
    "a tree of no nodes": ("forest", put("roots", 1, 0), "roots do not divide"),
    "a node that is its own child": (
        "forest",
        lambda content, tensors: (put("left", 0, 0)(content, tensors), put("right", 0, 0)(content, tensors))[:0],
        "a child outside of its tree",
    ),
    "a circle of nodes": (
        "boosting",
        lambda content, tensors: (put("left", 1, 1)(content, tensors), put("feature", 1, 0)(content, tensors))[:0],
        "leads back to itself",
    ),
    "outputs of boosted trees": ("boosting", put("output", 0, 10**9), "do not have the 4 outputs"),
    "columns of neighbours": ("neighbours", put("places", 0, 10**9), "predictor"),
    "starts of neighbours": ("neighbours", put("starts", 1, 10**9), "predictor"),
    "classes of neighbours": ("neighbours", put("target", 0, 10**9), "expected 0 to 1"),
    "an enormous Dense": ("table", lambda c, t: layer(c, "StepDense").update(size=10**9), "expected \\(1000000000"),
    "enormous bins": ("table", lambda c, t: layer(c, "NumberEmbedding").update(bins=10**9), "number"),
    "an enormous vocabulary": (
        "text",
        lambda c, t: layer(c, "TokenEmbedding").update(vocabulary=10**9),
        "expected \\(1000000000",
    ),
    "an enormous image": ("image", lambda c, t: block(c, "image").update(height=10**9), "1000000000 x"),
    "an enormous border": ("image", lambda c, t: layer(c, "Pixels").update(size=10**6), "values for a row"),
    "an enormous padding": ("image", lambda c, t: layer(c, "Convolution").update(padding=10**6), "predictor"),
    "an enormous text": ("text", lambda c, t: tokens(c).update(length=10**9), "1000000000 tokens"),
    "enormous rows of terms": ("text", lambda c, t: block(c, "wide_text").update(most=10**9), "1000000000 terms"),
    "terms without weights": (
        "text",
        lambda c, t: block(c, "wide_text")["terms"].update(terms=[f"t{n}" for n in range(10**4)], idf=[1.0] * 10**4),
        "reads fewer codes than the encoder has",
    ),
    "an enormous wide part": ("text", lambda c, t: layer(c, "SparseDense").update(columns=10**9), "expected \\(1000000000"),
    "an enormous series": ("series", lambda c, t: block(c, "series").update(length=10**9), "1000000000 steps"),
    "doubled joins": ("table", doubled, "predictor"),
    "a background of many rows": ("table", bomb(pl.DataFrame({"a": np.zeros(60_000_000, np.int8)})), "60,000,000 rows"),
    "a background of long texts": ("table", bomb(pl.DataFrame({"town": ["a" * 10**8] * 2})), "2 rows of 200,000,0"),
    "another expression of tokens": ("text", tokenizer(pre_tokenizer=REGEX), "other steps, or codes"),
    "padded tokens": ("text", tokenizer(padding={**PADDING, "pad_token": ""}), "other steps, or codes"),
    "a content that is a list": ("table", lambda c, t: "[]", "its content is a list"),
    "a content that is null": ("table", lambda c, t: "null", "its content is a NoneType"),
    "a content that is deep": ("table", lambda c, t: "[" * 100_000, "cannot be read by this lamina"),
    "half a letter": ("table", lambda c, t: c["schema"]["columns"][0].update(reason="\ud800"), "surrogates not allowed"),
    "an escape code as family": ("table", lambda c, t: c.update(family="\x1b[31mred"), "the family is '.x1b"),
    "a task of numbers": ("table", lambda c, t: c["task"].update(classes=5), "Classification.classes is 5, expected tuple"),
    "a part of trust of another task": ("table", lambda c, t: c["trust"].update(labels=c["trust"]["sets"]), "its trust"),
    "a target twice": ("labels", lambda c, t: c["task"]["targets"].append("one"), "its task"),
    "novelty without a size": ("forest", lambda c, t: c["trust"]["novelty"].update(soft=1e300), "directions that shrink below"),
    "a card without a score": ("forest", lambda c, t: c["card"]["baseline"].clear(), "its card: it lacks 'mae'"),
    "a card with a list of scores": ("forest", lambda c, t: c["card"].update(train={"scores": ["mae"]}), "train.scores is"),
    "a card with a test of nothing": ("forest", lambda c, t: c["card"].update(test={"rows": 3}), "its card: it lacks 'scores'"),
    "a confusion matrix of nothing": ("table", lambda c, t: c["card"].update(confusion=[[]]), "its card"),
    "a report of another model": ("table", lambda c, t: c["card"].update(report=[{"f1": "x"}] * 2), "its card"),
    "thresholds that are none": ("table", lambda c, t: c["task"].update(curve=[[0.5]]), "Classification.curve.0. is"),
    "a card of another epoch": ("table", lambda c, t: c["card"].update(best_epoch=7), "best_epoch is 7 of 2 epochs"),
    "a schema without columns": ("table", lambda c, t: c["schema"].clear(), "its schema: Schema lacks 'columns'"),
}


@pytest.mark.parametrize("what", ATTACKS)
def test_attack(what, saved, process, tmp_path):
    name, change, expected = ATTACKS[what]
    answer = attack(saved, process, tmp_path, name, change)
    assert re.match("refused: .*m.lamina cannot be read by this lamina", answer), answer
    assert re.search(expected, answer), answer


@pytest.mark.parametrize("name", MODELS)
def test_a_file_that_was_not_changed_predicts(name, saved, process, tmp_path):
    assert attack(saved, process, tmp_path, name, lambda content, tensors: None) == "fine"


def test_categories_that_share_nodes_are_no_circle(tmp_path):
    """Splits by subsets of codes are searched in nodes that were added after their children."""
    import lamina

    random = np.random.default_rng(0)
    letters = random.integers(0, 20, 400)
    rows = {"x": [chr(97 + letter) for letter in letters], "y": random.normal(size=400) + 9 * (letters % 2)}
    model = lamina.fit(rows, "y", family="boosting", monitor=None, trust=False)
    trees = model.model_.predictor.trees
    starts = np.repeat(trees.roots[:-1], np.diff(trees.roots))
    inner = np.flatnonzero(trees.feature >= 0)
    assert (trees.left[inner] + starts[inner] < inner).any()
    assert np.array_equal(lamina.load(model.save(tmp_path / "m.lamina")).predict(rows), model.predict(rows))


@pytest.mark.skipif(not RUNS, reason="LAMINA_FUZZ is the number of random files")
@pytest.mark.parametrize("name", MODELS)
def test_random_changes(name, saved, process, tmp_path):
    path, rows = saved(name)
    content, tensors = fuzz.contents(path)
    seed = int(os.environ.get("LAMINA_FUZZ_SEED", "0"))
    wrong = []
    for run in range(-(-RUNS // len(MODELS))):
        random = np.random.default_rng([seed, run])
        changed, arrays, said = fuzz.mutated(random, content, tensors)
        answer = process.run(fuzz.write(tmp_path / "m.lamina", changed, arrays), rows)
        if answer != "fine" and not answer.startswith("refused"):
            wrong.append(f"{run}: {said} -> {answer}")
            if log := os.environ.get("LAMINA_FUZZ_LOG"):
                with open(log, "a") as file:
                    print(name, wrong[-1], file=file)
    assert not wrong
