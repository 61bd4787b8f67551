"""Graphs, modules, losses and metrics of one's own: parity with lamina's, files, runs, scikit-learn, and every wrong use."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from torch import nn

import lamina
from lamina import Classifier, Custom, FeedForward, Recipe, Regressor
from lamina.errors import GraphError, ModelFileError, OptionError
from lamina.families import FAMILIES, check_family, family_from_json, family_to_json, make_family
from lamina.functions import StoredFunction, recall, store_function
from lamina.graph import CategoryEmbedding, Dense, MemberDense
from lamina.graph.layers import pretrained
from lamina.tasks.losses import MSE, custom_loss
from lamina.train.events import Epoch
from tests.comparison.test_bad_input import local_worker  # noqa: F401  a fixture
from tests.families.custom import (
    FAST,
    OWN_LOSSES,
    PLAIN,
    TARGETS,
    TOWN,
    A,
    B,
    Own,
    X,
    draw,
    fit,
    hits,
    logistic,
    rows,
    same,
    squares,
)


@pytest.fixture
def own():
    lamina.register("own", Own)
    yield "own"
    pretrained._MAKERS.pop("own", None)


# Graphs


@pytest.mark.parametrize("task", OWN_LOSSES)
def test_the_same_graph_gives_the_same_weights_and_predictions(task):
    family = FeedForward(hidden_sizes=(8,), **PLAIN)
    theirs, mine = fit(task, family), fit(task)
    assert mine.model_.net.plan.graph == theirs.model_.net.plan.graph
    assert same(mine, theirs)
    whole = fit(task, Custom(theirs.model_.net.plan.graph))
    assert same(whole, theirs)


def test_a_whole_graph_may_have_members():
    graph = FeedForward(hidden_sizes=(8,), members=3, number_embedding=None).graph
    model = fit("classes", Custom(lambda inputs: graph(inputs, 3)))
    assert isinstance(model.model_.net.plan.layers["head"], MemberDense)


def test_several_last_layers_are_concatenated_before_the_head():
    def two(inputs):
        graph = draw(inputs)
        graph.layer("hidden2", Dense(4), after="numbers")
        return graph

    assert fit(family=Custom(two)).model_.net.plan.joined["head"] == (12,)


def test_columns_that_the_graph_does_not_read_are_a_note():
    graph = lamina.Graph()
    graph.input("numbers", shape=2)
    graph.layer("hidden", Dense(4), after="numbers")
    assert "the graph does not read the input categories: town" in fit(family=Custom(graph)).model_.card["notes"]


@pytest.mark.parametrize("kind", ["drawn", "graph", "module"])
def test_a_file_predicts_the_same_and_its_estimator_can_be_fitted_again(kind, tmp_path, own):
    network = {"drawn": draw, "module": Own}.get(kind) or fit().model_.net.plan.graph
    model = fit(family=Custom(network))
    loaded = lamina.load(model.save(tmp_path / "m.lamina"))
    assert same(loaded, model)
    assert isinstance(loaded.get_params()["family"].network, lamina.Graph)
    assert clone(loaded).fit({**X}, TARGETS["binary"]).predict(X).shape == (90,)


def test_no_function_enters_a_file_and_a_fresh_process_predicts_the_same(tmp_path):
    model = fit(loss=logistic, metric=hits)
    path = model.save(tmp_path / "m.lamina")
    code = (
        "import sys, json, lamina; model = lamina.load(sys.argv[1]);"
        "print(json.dumps(model.predict_proba(json.loads(sys.argv[2])).tolist())); assert 'tests' not in sys.modules"
    )
    table = {"a": A[:9].tolist(), "b": B[:9].tolist(), "town": TOWN[:9].tolist()}
    done = subprocess.run([sys.executable, "-c", code, path, json.dumps(table)], capture_output=True, text=True)
    assert done.stderr == ""
    assert json.loads(done.stdout) == model.predict_proba(table).tolist()


def test_the_graph_is_the_familys_json():
    graph = fit().model_.net.plan.graph
    for family in (Custom(graph, scaling="standard"), Custom("own")):
        assert family_from_json(json.loads(json.dumps(family_to_json(family)))) == family
    assert make_family("custom") is Custom
    assert "custom" not in FAMILIES


def test_info_shows_the_graph(tmp_path):
    from tests.cli.helpers import lamina as command

    path = fit().save(tmp_path / "m.lamina")
    done = command("info", str(path))
    assert "hidden1" in done.out
    assert "Network: custom" in done.out


def test_scikit_learn_clones_and_cross_validates():
    model = Classifier(Custom(draw), Recipe(**FAST, loss=logistic, metric=hits), random_state=0)
    copy = clone(model)
    assert copy.family.network is draw
    assert copy.recipe.loss is logistic
    table = np.stack([A, B], 1)
    assert cross_val_score(model, table, TARGETS["binary"], cv=2).shape == (2,)
    copy = clone(fit(loss=logistic, metric=hits))
    assert copy.family.network is draw
    assert copy.recipe.loss is logistic
    assert copy.recipe.metric is hits
    assert Regressor(Custom(draw), Recipe(**FAST)).fit(table, TARGETS["regression"]).predict(table).shape == (90,)


# Modules


@pytest.mark.parametrize("task", OWN_LOSSES)
def test_a_registered_factory_trains_and_loads(task, tmp_path, own):
    model = fit(task, Custom(Own))
    assert same(fit(task, Custom("own")), model)
    assert same(lamina.load(model.save(tmp_path / "m.lamina")), model)
    assert model.model_.net.module.module.module.linear.weight.requires_grad


def test_a_file_with_a_module_that_is_not_registered_says_how(tmp_path, own):
    path = fit(family=Custom(Own)).save(tmp_path / "m.lamina")
    pretrained._MAKERS.pop("own")
    with pytest.raises(ModelFileError, match=r"part 'own' that is not registered here .* register\('own', make\)"):
        lamina.load(path)


@pytest.mark.parametrize(
    ("family", "match"),
    [
        (Custom(), "Custom.network is None, expected a lamina.Graph, a function"),
        (Custom("nothing"), r"'nothing', which is no registered name.* lamina.register\('nothing', make\)"),
        (
            Custom(nn.Linear(2, 2)),
            r"Custom.network is Linear.*, a module that no file can hold.*lamina.register\('linear', make\)",
        ),
        (Custom(Own), r"a module that no file can hold.*lamina.register\('own', make\), then Custom\('own'\)"),
        (Custom(3), "Custom.network is 3, expected a lamina.Graph, a function"),
        (
            Custom(StoredFunction("draw")),
            "Custom.network is the function draw, of which a file has only the name; give it again",
        ),
    ],
)
def test_what_is_no_network_is_refused_at_once(family, match):
    with pytest.raises(OptionError, match=match):
        check_family(family)


class Flat(nn.Module):
    def __init__(self, inputs):
        super().__init__()

    def forward(self, blocks):
        return blocks["numbers"].sum()


class Wrong(Flat):
    def forward(self, blocks):
        return blocks["pictures"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (Flat, r"part 'bad' gives \(\) for 2 rows, expected one tensor with the rows first"),
        (Wrong, "part 'bad' cannot read .*pictures.*; give it inputs of its expected shape"),
        (lambda inputs: 3, "part 'bad' made a int, expected an nn.Module"),
        (lambda: nn.Linear(2, 2), "part 'bad' cannot be made with the inputs numbers, categories"),
    ],
)
def test_a_factory_of_something_else_is_refused(make, match):
    lamina.register("bad", make)
    try:
        with pytest.raises(GraphError, match=match):
            fit(family=Custom("bad"))
    finally:
        pretrained._MAKERS.pop("bad")


def changed(change):
    def function(inputs):
        graph = draw(inputs)
        return change(graph) or graph

    return function


def unknown(inputs):
    graph = lamina.Graph()
    graph.input("number", shape=2)
    graph.layer("hidden", Dense(4), after="number")
    return graph


def narrow(inputs):
    graph = lamina.Graph()
    graph.input("numbers", shape=3)
    graph.layer("hidden", Dense(4), after="numbers")
    return graph


def few_codes(inputs):
    graph = lamina.Graph()
    graph.input("categories", shape=1)
    graph.layer("town", CategoryEmbedding(cardinalities=(2,), sizes=(0,)), after="categories")
    return graph


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (lambda inputs: 3, "the function <lambda> returned 3, expected a lamina.Graph; return the graph"),
        (lambda inputs: nn.Linear(2, 2), r"<lambda> returned an nn.Module, which no file can hold.*lamina.register"),
        (unknown, "the graph reads the input 'number', which these columns do not give; did you mean 'numbers'"),
        (narrow, r"input 'numbers' of the graph has the shape \(3,\), but these columns give \(2,\)"),
        (few_codes, r"layer 'town' embeds 2 codes, but the input 'categories' has 4 .*Custom\(draw\)"),
        (changed(lambda g: g.output("y", after="hidden1")), r"output 'y' of the graph has the shape \(8,\), expected \(1,\)"),
        (changed(lambda g: g.connect("hidden1", "hidden1")), "the graph has a cycle, so its output has a time axis.*Loop"),
        (
            changed(lambda g: [g.layer("z", Dense(1), after="hidden1"), g.connect("z", "hidden1")] and None),
            r"the graph has no last layer.*put a Join\(\) behind",
        ),
        (
            changed(lambda g: [g.output("y", after="hidden1"), g.output("z", after="hidden1")] and None),
            "the graph has the outputs y, z, expected one",
        ),
    ],
)
def test_a_graph_that_does_not_fit_is_refused(network, match):
    with pytest.raises(OptionError, match=match):
        fit(family=Custom(network))


# Runs and comparisons


@pytest.mark.parametrize("given", [False, True])
def test_a_run_that_was_killed_is_resumed(given, tmp_path, monkeypatch):
    monkeypatch.setattr("lamina.train.loop.CHECKPOINT_SECONDS", 0.0)

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Epoch) and event.epoch == 1:
            raise Killed

    def nested(outputs, targets):
        return logistic(outputs, targets)

    loss = nested if given else logistic
    whole = fit(loss=loss, metric=hits)
    with pytest.raises(Killed):
        fit(loss=loss, metric=hits, run=tmp_path / "cut", monitor=kill)
    if given:
        with pytest.raises(
            OptionError, match=r"Recipe.loss is the function .*nested.*; give it again: lamina.resume\(.*custom_ob"
        ):
            lamina.resume(tmp_path / "cut", monitor=None)
    name = store_function(loss).name
    resumed = lamina.resume(tmp_path / "cut", monitor=None, custom_objects={name: loss} if given else None)
    assert same(resumed, whole)
    assert resumed.recipe.loss is loss


def test_resume_refuses_custom_objects_that_are_no_dict(tmp_path):
    with pytest.raises(OptionError, match="custom_objects is 3, expected a dict of functions by name"):
        lamina.resume(tmp_path, custom_objects=3)


def test_functions_are_found_again_by_import_only_where_they_can_be():
    assert store_function(hits) == StoredFunction("hits", "tests.families.custom")
    assert recall(Recipe.from_json(Recipe(loss=squares).to_json())).loss is squares
    with pytest.raises(OptionError, match="Recipe.loss is the function gone, .*; define it at the top level of a module"):
        recall(Recipe(loss=StoredFunction("gone", "tests.nowhere")))
    assert custom_loss(squares, MSE).outputs_of == "mse"


@pytest.mark.usefixtures("local_worker")
def test_a_comparison_has_graphs_and_functions_of_a_module():
    graph = lamina.Graph()
    graph.input("numbers", shape=2)
    graph.layer("hidden", Dense(4), after="numbers")
    board = lamina.compare(
        rows(),
        "y",
        families={"drawn": Custom(draw), "graph": Custom(graph), "base": "constant"},
        recipe=Recipe(epochs=1, loss=logistic),
        folds=2,
        repeats=1,
        workers=1,
        monitor=None,
    )
    assert {line.name: line.folds for line in board.lines} == {"drawn": 2, "graph": 2, "base": 2}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"families": [Custom(lambda inputs: None)]}, "Custom.network is the function .*<lambda>, which the worker processes"),
        (
            {"families": ["linear"], "recipe": Recipe(loss=lambda o, t: o)},
            "Recipe.loss is the function .* cannot import; define",
        ),
    ],
)
def test_a_comparison_refuses_functions_of_no_module(options, match):
    with pytest.raises(OptionError, match=match):
        lamina.compare(rows(), "y", folds=2, monitor=None, **options)
