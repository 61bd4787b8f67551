"""Graphs, modules, losses and metrics of one's own: parity with lamina's, files, runs, scikit-learn, and every wrong use."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.model_selection import cross_val_score
from torch import nn
from torch.nn import functional as F

import lamina
from lamina import Classifier, Custom, FeedForward, Recipe, Regressor
from lamina.errors import GraphError, ModelFileError, OptionError, TrainingError
from lamina.families import FAMILIES, check_family, family_from_json, family_to_json, make_family
from lamina.functions import StoredFunction, recall, store_function
from lamina.graph import CategoryEmbedding, Dense, MemberDense
from lamina.graph.layers import pretrained
from lamina.tasks.losses import KNOWN, LABEL_CROSS_ENTROPY, LOSSES, MSE, TARGET, custom_loss
from lamina.tasks.prediction import Prediction
from lamina.train.events import Epoch
from tests.comparison.test_bad_input import local_worker  # noqa: F401  a fixture

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(2, 90))
TOWN = RANDOM.choice(["Bern", "Rome", "Oslo"], 90)
X = {"a": A, "b": B, "town": TOWN}
TARGETS = {
    "binary": np.where(A + B > 0, "yes", "no"),
    "classes": np.digitize(A, [-0.5, 0.5]).astype(str),
    "regression": 2 * A - B,
}
PLAIN = {"members": 1, "number_embedding": None, "one_hot": 10}
FAST = {"epochs": 3, "learning_rate": 1e-2, "ema_decay": None}


def rows(task="binary"):
    if task == "labels":
        return {**X, "warm": A > 0, "cold": [None if i % 5 == 0 else bool(b > 0) for i, b in enumerate(B)]}
    return {**X, "y": TARGETS[task]}


def target(task):
    return ["warm", "cold"] if task == "labels" else "y"


def fit(task="binary", family=None, **options):
    run = {name: options.pop(name) for name in ("run", "monitor", "weight") if name in options}
    table = {**rows(task), "w": np.arange(90) % 3} if "weight" in run else rows(task)
    family = Custom(draw) if family is None else family
    return lamina.fit(table, target(task), family=family, recipe=Recipe(**{**FAST, **options}), **{"monitor": None, **run})


def draw(inputs):
    """As ``FeedForward(hidden_sizes=(8,), members=1, number_embedding=None)`` draws it."""
    graph, after = lamina.Graph(), []
    for name, block in inputs.items():
        graph.input(name, shape=block.shape)
        after.append(name)
        if block.kind == "categories":
            sizes = (0,) * len(block.cardinalities)
            graph.layer("category_embedding", CategoryEmbedding(block.cardinalities, sizes), after=name)
            after[-1] = "category_embedding"
    graph.layer("hidden1", Dense(8, "relu"), after=after)
    return graph


class Own(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.town = nn.Embedding(inputs["categories"].cardinalities[0], 2)
        self.linear = nn.Linear(inputs["numbers"].shape[0] + 2, 6)

    def forward(self, blocks):
        town = self.town(blocks["categories"][:, 0])
        return torch.tanh(self.linear(torch.cat([blocks["numbers"], town], 1)))


@pytest.fixture
def own():
    lamina.register("own", Own)
    yield "own"
    pretrained._MAKERS.pop("own", None)


def logistic(outputs, targets):
    return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), targets.float(), reduction="none")


def entropy(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")


def squares(outputs, targets):
    return (outputs - targets) ** 2


def label_entropy(outputs, targets):
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def hits(y_true, y_pred, sample_weight=None):
    return float(np.average(y_true == y_pred, weights=sample_weight))


OWN_LOSSES = {"binary": logistic, "classes": entropy, "regression": squares, "labels": label_entropy}


def weights_of(model):
    return list(model.model_.net.state_dict().values())


def same(one, other):
    pairs = zip(weights_of(one), weights_of(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and one.predict_table(X).equals(other.predict_table(X))


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


# Losses


@pytest.mark.parametrize("task", OWN_LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_loss_gives_the_same_numbers(task, weighted):
    options = {"weight": "w"} if weighted else {}
    theirs, mine = fit(task, **options), fit(task, loss=OWN_LOSSES[task], **options)
    for one, other in zip(weights_of(mine), weights_of(theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert mine.model_.network.loss == theirs.model_.network.loss
    assert mine.model_.card["recipe"]["loss"]["name"] == OWN_LOSSES[task].__name__


@pytest.mark.parametrize(
    ("name", "function"), [("cross_entropy", entropy), ("mse", squares), ("binary_cross_entropy", logistic)]
)
@pytest.mark.parametrize("members", [0, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_are_those_of_the_built_in_loss(name, function, members, weighted):
    generator = torch.Generator().manual_seed(0)
    width = 1 if name == "binary_cross_entropy" else 4
    outputs = torch.randn((6, members, width) if members else (6, width), generator=generator, requires_grad=True)
    codes = torch.randint(2 if width == 1 else 4, (6,), generator=generator)
    targets = {TARGET: torch.randn(6, 4, generator=generator) if name == "mse" else codes}
    weight = torch.tensor([0.0, 1, 2, 1, 0, 3]) if weighted else None
    found = [loss(outputs, targets, weight) for loss in (LOSSES[name], custom_loss(function, LOSSES[name]))]
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*(torch.autograd.grad(value, outputs)[0] for value in found))


def test_a_masked_label_has_no_gradient():
    outputs = torch.zeros(2, 2, requires_grad=True)
    known = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    loss = custom_loss(label_entropy, LABEL_CROSS_ENTROPY)(outputs, {TARGET: torch.ones(2, 2), KNOWN: known})
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert outputs.grad.tolist() == [[pytest.approx(-1 / 6), 0.0], [pytest.approx(-1 / 6), pytest.approx(-1 / 6)]]


@pytest.mark.parametrize(
    ("loss", "task", "error", "match"),
    [
        (
            lambda o, t: 3.0,
            "binary",
            OptionError,
            r"loss <lambda> returned 3.0, expected a tensor of \(32,\): a loss for each row",
        ),
        (lambda o, t: logistic(o, t).mean(), "binary", OptionError, r"a tensor of \(\), expected .*reduction='none'"),
        (lambda o, t: o - t, "binary", OptionError, r"tensor of \(32, 32\), expected .*outputs have the shape \(32, 1\)"),
        (
            lambda o, t: logistic(o.detach(), t),
            "binary",
            OptionError,
            "loss <lambda> has no gradient; compute it from the outputs",
        ),
        (
            lambda o, t: label_entropy(o, t).mean(1),
            "labels",
            OptionError,
            r"expected a tensor of \(32, 2\): a loss for each label",
        ),
        (
            lambda o, t: logistic(o, t) * math.nan,
            "binary",
            TrainingError,
            "loss <lambda> was never finite .*guard its logarithms",
        ),
        (7, "binary", OptionError, "Recipe.loss is 7, expected one of .* or a function of outputs and targets"),
        (StoredFunction("focal"), "binary", OptionError, "Recipe.loss is the function focal, of which .* give it again"),
    ],
)
def test_a_loss_that_is_none_is_refused(loss, task, error, match):
    with pytest.raises(error, match=match):
        fit(task, loss=loss, batch_size=32)


# Metrics


def test_a_metric_is_on_the_card_and_beside_the_others():
    model = fit(metric=hits)
    assert model.model_.card["validation"]["hits"] == model.model_.card["validation"]["accuracy"]
    scores = model.evaluate(rows())
    assert scores["scores"]["hits"] == scores["scores"]["accuracy"]
    assert scores["baseline"]["hits"] == scores["baseline"]["accuracy"]
    best = max(range(3), key=lambda epoch: model.history_[epoch]["validation_hits"])
    assert model.model_.card["best_epoch"] == best


def test_a_built_in_metric_decides_the_best_epoch():
    model = fit("regression", metric="mae", epochs=6, learning_rate=1.0)
    errors = [epoch["validation_mae"] for epoch in model.history_]
    assert model.model_.card["best_epoch"] == int(np.argmin(errors))
    assert model.model_.card["validation"]["mae"] == pytest.approx(min(errors), rel=1e-5)


def test_a_classical_family_is_scored_by_a_metric_too():
    table = rows("regression")
    model = lamina.fit(table, "y", family="linear", recipe=Recipe(metric=mean_absolute_error), monitor=None)
    scores = model.evaluate(table)["scores"]
    assert scores["mean_absolute_error"] == pytest.approx(scores["mae"])
    assert not any("metric" in note for note in model.model_.card["notes"])


def test_a_metric_honours_weights_and_reads_probabilities():
    truth, chances = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    prediction = Prediction(chances, chances.argmax(1), chances.argmax(1))
    assert lamina.make_metric(accuracy_score)(truth, prediction, np.array([1.0, 0.0, 3.0])) == 1.0
    seen = lamina.make_metric(lambda y_true, y_pred: y_pred[2], needs="probabilities", name="third")
    assert seen(truth, prediction) == 0.7
    assert (seen.greater, lamina.make_metric(mean_absolute_error).greater) == (True, False)


@pytest.mark.parametrize(
    ("metric", "options", "match"),
    [
        (lambda t, p: "good", {}, "metric <lambda> returned 'good', expected a number"),
        (lambda t, p: math.nan, {}, "metric <lambda> is NaN for the .* validation rows"),
        (lambda t, p: 1.0, {"weight": "w"}, r"metric <lambda> has no sample_weight.*sample_weight=None\)"),
        ("nonsense", {}, "Recipe.metric is 'nonsense', expected one of 'auto', 'loss', 'accuracy'"),
        ("rmse", {}, "metric 'rmse' is unknown or does not fit classification"),
        (StoredFunction("gain"), {}, "Recipe.metric is the function gain, of which .* give it again"),
    ],
)
def test_a_metric_that_is_none_is_refused(metric, options, match):
    with pytest.raises(OptionError, match=match):
        fit(metric=metric, **options)


def test_make_metric_refuses_what_is_no_function():
    with pytest.raises(OptionError, match="the metric is 3, expected a function of y_true and y_pred"):
        lamina.make_metric(3)
    with pytest.raises(OptionError, match="needs is 'logits', expected 'labels' or 'probabilities'"):
        lamina.make_metric(hits, needs="logits")


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
    assert store_function(hits) == StoredFunction("hits", "tests.families.test_custom")
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
