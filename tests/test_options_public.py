"""Every keyword of every public call: declared once, spelt in the signature, and refused in one line where it is wrong."""

import dataclasses
import inspect
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import typer
from sklearn.base import clone

import lamina
from lamina import Auto, Classifier, FeedForward, Recipe, Regressor
from lamina.cli import app
from lamina.comparison.compare import without_effect
from lamina.comparison.terms import Terms
from lamina.errors import OptionError, SchemaError
from lamina.fitting.settings import (
    EvaluateOptions,
    ImportanceOptions,
    Interventions,
    PredictOptions,
    Recording,
    Resumption,
    Settings,
    Starting,
)
from lamina.options import bounds
from lamina.tuning.terms import TuningTerms
from tests.cli.helpers import lamina as command

BASE = {
    "age": [i % 60 for i in range(80)],
    "shop": [i // 8 for i in range(80)],
    "y": ["old" if i % 60 > 30 else "young" for i in range(80)],
}
LINEAR = {"family": "linear", "monitor": None}


def declared(*owners):
    hidden = "fewest", "separator", "skipped", "typed"
    return {field.name: field for owner in owners for field in dataclasses.fields(owner) if field.name not in hidden}


CALLS = {
    "fit": (lamina.fit, declared(Settings, Recording, Interventions, Starting)),
    "compare": (lamina.compare, declared(Settings, Terms, Recording)),
    "tune": (lamina.tune, declared(Settings, TuningTerms, Recording)),
    "Classifier": (Classifier.__init__, declared(Settings, Interventions)),
    "Regressor": (Regressor.__init__, declared(Settings, Interventions)),
    "resume": (lamina.resume, declared(Recording, Interventions, Resumption)),
    "distill": (Classifier.distill, declared(Settings, Recording)),
    "predict": (Classifier.predict, declared(PredictOptions)),
    "predict_table": (Classifier.predict_table, declared(PredictOptions)),
    "evaluate": (Classifier.evaluate, declared(EvaluateOptions)),
    "importance": (Classifier.importance, declared(ImportanceOptions)),
}
LACKS = {
    "compare": {"family", "quality"},
    "tune": {"quality"},
    "distill": declared(Settings).keys() - {"family", "recipe", "time_limit"},
    "Classifier": {"target", "task", "edit"},
    "Regressor": {"target", "task", "class_weight", "merge_rare", "edit"},
}


# One declaration


@pytest.mark.parametrize("name", CALLS)
def test_signatures_are_as_declared(name):
    call, fields = CALLS[name]
    parameters = {("seed" if key == "random_state" else key): p for key, p in inspect.signature(call).parameters.items()}
    parameters = {key: value for key, value in parameters.items() if key not in ("self", "data", "X", "table")}
    assert parameters.keys() == fields.keys() - LACKS.get(name, set())
    for key, parameter in parameters.items():
        field = fields[key]
        if key == "target" or (name, key) == ("resume", "run"):
            continue
        if parameter.name != "random_state":
            assert parameter.annotation.removesuffix(" | None") == field.type.removesuffix(" | None"), key
            assert parameter.default == field.default, key
        assert "Any" not in parameter.annotation.replace("dict[str, Any]", "").replace("Mapping[Any,", ""), key


def test_every_declared_option_has_help_and_bounds():
    for field in declared(Settings, Terms, TuningTerms, Recording, PredictOptions, EvaluateOptions, ImportanceOptions).values():
        assert field.metadata["help"]
        assert bounds(field)


@pytest.mark.parametrize("verb", ["fit", "compare", "tune"])
def test_the_command_line_is_as_declared(verb):
    fields = CALLS[verb][1]
    names = {"kind": "kinds", "set_": "recipe", **({"family": "families"} if verb == "compare" else {})}
    own = {"data", "out", "list_options", "as_json", "debug", "picture", "help"}
    options = [one for one in typer.main.get_command(app).commands[verb].params if one.name not in own]
    assert {names.get(one.name, one.name) for one in options} == fields.keys() - LACKS.get(verb, set()) - {
        "monitor",
        "callbacks",
        "edit",
    }
    for one in options:
        field = fields[names.get(one.name, one.name)]
        if one.name not in ("run", "set_"):
            assert one.help.startswith(field.metadata["help"]), one.name
            assert (one.default or None) == (field.default or None) or one.multiple, one.name


@pytest.mark.parametrize("options", [Settings("y", kinds={"a": "text"}, drop=["b"], seed=3), Settings(("a", "b"), group="g")])
def test_settings_survive_json(options):
    assert Settings.from_json(json.loads(json.dumps(options.to_json()))) == options


# Wrong types and values


WRONG = [
    ("seed", -1, "a whole number between 0 and 4294967295"),
    ("seed", "a", "a whole number"),
    ("seed", 1.5, "a whole number"),
    ("seed", True, "a whole number"),
    ("seed", 2**32, "a whole number"),
    ("kinds", "x", "a dict of kinds by column"),
    ("kinds", {2.5: "number"}, "names of columns and kinds"),
    ("kinds", {"age": 3}, "names of columns and kinds"),
    ("recipe", {"epochs": 3}, r"a recipe, such as lamina.Recipe\(epochs=20\)"),
    ("recipe", Recipe, "a recipe"),
    ("drop", "age", r"a list of column names, such as \['age', 'town'\]"),
    ("drop", [2.5], "a list of column names"),
    ("validation", "x", "a share above 0 and up to 0.9"),
    ("validation", None, "a share"),
    ("validation", 7, "a share"),
    ("validation", 0, "a share"),
    ("validation", float("nan"), "a share"),
    ("device", 3, "a text"),
    ("device", None, "a text"),
    ("trust", "x", "true or false"),
    ("unique", 1, "true or false"),
    ("group", 2.5, "the name of a column or None"),
    ("time", ["age"], "the name of a column"),
    ("split", b"x", "the name of a column"),
    ("weight", 1.5, "the name of a column"),
    ("class_weight", 3, "'balanced' or a dict of weights by class"),
    ("class_weight", "heavy", "'balanced' or a dict"),
    ("family", 3, "'auto', the name of a family, or a family such as"),
    ("family", None, "'auto', the name of a family"),
    ("task", 3, "a text or None"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "match"), WRONG)
def test_a_wrong_value_is_refused_by_every_call(name, value, match):
    result = rf"^{name} is [^\n]*, expected {match}[^\n]*$"
    with pytest.raises(OptionError, match=result):
        lamina.fit(BASE, "y", **{**LINEAR, name: value})
    if name != "family":
        with pytest.raises(OptionError, match=result):
            lamina.compare(BASE, "y", families=["linear"], monitor=None, **{name: value})
    if name not in ("seed", "task"):
        with pytest.raises(OptionError, match=result):
            Classifier(**{name: value}).fit(pl.DataFrame({"age": BASE["age"]}), BASE["y"])


@pytest.mark.parametrize("value", [-1, 2**32, "a", 1.5, True, np.random.default_rng(0)])
def test_a_wrong_random_state(value):
    with pytest.raises(OptionError, match=r"random_state is .*, expected a whole number between 0 and 4294967295, a numpy"):
        Classifier("linear", random_state=value).fit({"age": BASE["age"]}, BASE["y"])


@pytest.mark.parametrize("value", [5, True, b"r"])
def test_a_wrong_run_or_monitor(value):
    with pytest.raises(OptionError, match="run is .*, expected a folder"):
        lamina.fit(BASE, "y", run=value)
    with pytest.raises(OptionError, match="monitor is .*, expected 'auto' or a function of an event or None"):
        lamina.compare(BASE, "y", monitor=value)
    with pytest.raises(OptionError, match="monitor is 'bar', expected"):
        lamina.fit(BASE, "y", monitor="bar")
    with pytest.raises(OptionError, match="run is .*, expected a folder"):
        lamina.resume(value)
    with pytest.raises(OptionError, match="path is .*, expected the path of a .lamina file"):
        lamina.load(value)


def test_a_run_or_device_that_is_none_or_unknown(tmp_path):
    with pytest.raises(OptionError, match="run is None, expected the folder of a run"):
        lamina.resume(None)
    with pytest.raises(OptionError, match="device 'abacus' cannot be used here"):
        lamina.load(tmp_path / "m.lamina", device="abacus")


@pytest.mark.parametrize(
    ("name", "value"),
    [("folds", 1), ("folds", "x"), ("folds", True), ("repeats", 0), ("repeats", "often"), ("metric", 3), ("rope", -1),
     ("rope", "x"), ("time_limit", 0), ("memory_limit", "x"), ("workers", 0), ("workers", 1.5), ("families", 3)],
)  # fmt: skip
def test_wrong_terms_of_a_comparison(name, value):
    with pytest.raises(OptionError, match=rf"^{name} is {value!r}, expected "):
        lamina.compare(BASE, "y", monitor=None, **{name: value})


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"old": "x"}, "class_weight of 'old' is 'x', expected a number of at least 0"),
        ({"old": -1}, "class_weight of 'old' is -1, expected"),
        ({"old": float("nan")}, "class_weight of 'old' is nan, expected"),
        ({"old": 0, "young": 0}, "class_weight is 0 for every class in it"),
    ],
)
def test_wrong_weights_of_classes(weights, match):
    with pytest.raises(OptionError, match=match):
        lamina.fit(BASE, "y", class_weight=weights, **LINEAR)


@pytest.fixture(scope="module")
def fitted():
    return lamina.fit(BASE, "y", **LINEAR)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda m: m.predict(BASE, trust="x"), "trust is 'x', expected true or false"),
        (lambda m: m.predict(BASE, trust=True, coverage=2), "coverage is 2, expected a share of the rows between 0 and 1"),
        (lambda m: m.predict(BASE, coverage="x"), "coverage is 'x', expected"),
        (lambda m: m.predict(BASE, reasons=3), "reasons is 3, expected true or false"),
        (lambda m: m.importance(BASE, repeats=0), "repeats is 0, expected a whole number between 1 and 10000"),
        (lambda m: m.importance(BASE, repeats="x"), "repeats is 'x', expected"),
        (lambda m: m.importance(BASE, seed=-1), "seed is -1, expected"),
        (lambda m: m.importance(BASE, monitor="bar"), "monitor is 'bar', expected a function of an event or None"),
        (lambda m: m.predict(BASE, tust=True), "predict has no option 'tust'; did you mean 'trust'"),
        (lambda m: m.importance(BASE, repeat=3), "importance has no option 'repeat'; did you mean 'repeats'"),
        (lambda m: m.evaluate(BASE, BASE["y"]), r"evaluate takes data by position, 2 values .*score.X, y."),
        (lambda m: m.fit(BASE, "y"), r"y is .y., expected its values; where y is a column of X, write lamina.fit\(X, .y.\)"),
        (lambda m: m.evaluate(dat=BASE), "evaluate has no option 'dat'; did you mean 'data'"),
        (lambda m: m.fit(BASE, y=BASE["y"], weight=3), "fit has no option 'weight'; did you mean 'sample_weight'"),
    ],
)
def test_options_of_a_fitted_model(fitted, call, match):
    with pytest.raises(OptionError, match=match):
        call(fitted)


# Unknown names


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: lamina.fit(BASE, "y", grup="shop"), "fit has no option 'grup'; did you mean 'group'"),
        (lambda: lamina.fit(BASE, "y", sample_weight="age"), "fit has no option 'sample_weight'; did you mean 'weight'"),
        (lambda: lamina.compare(BASE, "y", fold=3), "compare has no option 'fold'; did you mean 'folds'"),
        (lambda: lamina.compare(BASE, "y", family="linear"), "compare has no option 'family'; did you mean 'families'"),
        (lambda: lamina.load("m", devise="cpu"), "load has no option 'devise'; did you mean 'device'"),
        (lambda: lamina.resume("r", moniter=None), "resume has no option 'moniter'; did you mean 'monitor'"),
        (lambda: Classifier(famly="linear"), "Classifier has no option 'famly'; did you mean 'family'"),
        (lambda: Regressor(class_weight=None), "Regressor has no option 'class_weight'; did you mean 'weight'"),
        (lambda: Recipe(lr=0.1), "Recipe has no option 'lr'; did you mean 'learning_rate'"),
        (lambda: FeedForward(hiden=(3,)), "FeedForward has no option 'hiden'; did you mean 'hidden_sizes'"),
        (lambda: lamina.fit(BASE, "y", epochs=3), r"no option 'epochs'; did you mean recipe=Recipe\(epochs=3\)\?"),
        (lambda: lamina.compare(BASE, "y", lr=0.1), r"no option 'lr'; did you mean recipe=Recipe\(learning_rate=0.1\)\?"),
        (lambda: Classifier(n_estimators=9), r"no option 'n_estimators'; did you mean family=Forest\(n_estimators=9\)\?"),
        (
            lambda: Classifier("RandomForestRegressor").fit(BASE, BASE["y"]),
            "no family 'RandomForestRegressor'; did you mean 'fo",
        ),
        (lambda: lamina.fit(X=BASE, y=BASE["y"]), r"no option 'X'; the target is a column .* Classifier\(\).fit\(X, y\)"),
        (lambda: lamina.fit(BASE, "y", BASE), "fit takes data and target by position, 3 values were given; options have names"),
        (lambda: lamina.fit(BASE, "y", validation_data=(BASE, 1)), "a column that marks them: split='part'"),
        (lambda: Auto(hiden=(3,)), "no family has an option 'hiden'; did you mean 'hidden_sizes'"),
    ],
)
def test_an_unknown_name_gives_the_nearest(call, match):
    with pytest.raises(OptionError, match=match):
        call()


def test_a_name_that_is_like_no_other_gives_all():
    with pytest.raises(OptionError, match="fit has no option 'xyzzy'; it has data, target, task, kinds, group"):
        lamina.fit(BASE, "y", xyzzy=None)


# The target


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (2.5, "target is 2.5, expected the name of a column, or a list of names"),
        (True, "target is True, expected the name of a column, or a list of names$"),
        (b"y", "target is b'y', expected"),
        (["y", 2.5], "target is 2.5, expected"),
        (["y", "y"], r"target names a column twice: \['y', 'y'\]"),
        (None, "there is no target; name the column to predict"),
        ([], "there is no target"),
        ("", "there is no target"),
        (BASE["y"], r"target holds values \(list\), .* write Classifier\(\).fit\(X, y\)"),
        ([0.5 * i for i in range(80)], r"target holds values \(list\)"),
        (np.array(BASE["y"]), r"for arrays X and y write Classifier\(\).fit\(X, y\) or Regressor\(\).fit\(X, y\)"),
        (pd.Series(BASE["y"]), r"write Classifier\(\).fit\(X, y\)"),
    ],
)
def test_targets_that_name_no_column(target, match):
    for call in (lamina.fit, lamina.compare):
        with pytest.raises(OptionError, match=match):
            call(BASE, target, monitor=None)


def test_frames_whose_columns_are_called_by_numbers():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 3)))
    frame[3] = BASE["y"]
    for name in (99, "99"):
        with pytest.raises(SchemaError, match="no column '99' to be the target; it has '0', '1', '2', '3'"):
            lamina.fit(frame, name, **LINEAR)
    with pytest.raises(SchemaError, match="no column '2' to be the target; it has 'age', 'shop', 'y'"):
        lamina.fit(BASE, 2, **LINEAR)
    for name in (3, "3"):
        assert lamina.fit(frame, name, **LINEAR).model_.task.targets == ("3",)


# Contradictions, and options without effect


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"group": "shop", "drop": ["shop"]}, "column 'shop' is given both as group and in drop; give it one of the two"),
        ({"weight": "age", "drop": ["age"]}, "column 'age' is given both as weight and in drop"),
        ({"time": "age", "drop": ["age"]}, "column 'age' is given both as time and in drop"),
        ({"split": "age", "drop": ["age"]}, "column 'age' is given both as split and in drop"),
        ({"group": "shop", "time": "shop"}, "column 'shop' is given both as group and as time"),
        ({"group": "shop", "weight": "shop"}, "column 'shop' is given both as group and as weight"),
        ({"group": "y"}, "column 'y' is given both as target and as group"),
        ({"drop": ["y"]}, "column 'y' is given both as target and in drop"),
        ({"group": "shop", "time": "age"}, "group='shop' and time='age' each decide which rows validate; give one"),
        ({"kinds": {"shop": "category"}, "drop": ["shop"]}, "column 'shop' is given both in kinds and in drop"),
        ({"kinds": {"y": "category"}}, "kinds names the target 'y' as 'category', expected how its values are read: number"),
    ],
)
def test_options_that_contradict_each_other(options, match):
    for call in (lamina.fit, lamina.compare):
        with pytest.raises(OptionError, match=match):
            call(BASE, "y", monitor=None, **options)
    if "y" not in str(options):
        with pytest.raises(OptionError, match=match):
            Classifier(**options).fit({"age": BASE["age"], "shop": BASE["shop"]}, BASE["y"])


def test_two_weights_of_rows():
    with pytest.raises(OptionError, match="both sample_weight and weight='age' are given"):
        Classifier("linear", weight="age").fit({"age": [1.0, 2] * 9, "x": range(18)}, ["a", "b"] * 9, [1.0] * 18)


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"family": "forest", "validation": 0.3}, "validation=0.3 has no effect: all rows validate, out of bag"),
        ({"split": "part", "validation": 0.3}, "validation=0.3 has no effect: column 'part' chooses the validation rows"),
        ({"family": lamina.Forest(vocabulary_size=99)}, "vocabulary_size=99 has no effect: no column is read as terms"),
        (
            {"family": lamina.FeedForward(max_length=9, bins=9), "recipe": Recipe(epochs=1)},
            "max_length=9 has no effect: no column is read as text or series",
        ),
        ({"family": "forest"}, None),
        ({"split": "part"}, None),
        ({"validation": 0.3}, None),
        ({"family": "forest", "group": "shop", "validation": 0.3}, None),
    ],
)
def test_an_option_without_effect_is_noted(options, note):
    table = {**BASE, "part": ["train", "train", "valid", "train"] * 20}
    model = lamina.fit(table, "y", **{**LINEAR, **options}).model_
    assert [text for text in model.card["notes"] if "no effect" in text] == ([note] if note else [])


@pytest.mark.parametrize(
    ("settings", "terms", "networks", "notes"),
    [
        ({"recipe": Recipe(epochs=3)}, {}, False, ["recipe has no effect (epochs): no candidate is a network"]),
        ({"recipe": Recipe(epochs=3)}, {}, True, []),
        ({"split": "part"}, {"folds": 3}, True, ["folds=3 has no effect: column 'part' defines the only fold"]),
        ({"time": "day"}, {"repeats": 2}, True, ["repeats=2 has no effect: column 'day' defines the folds"]),
        ({"time": "day"}, {"folds": 3}, True, []),
        ({"group": "shop"}, {"folds": 3, "repeats": 2}, False, []),
    ],
)
def test_an_option_without_effect_on_a_comparison_is_noted(settings, terms, networks, notes):
    assert list(without_effect(Settings("y", **settings), Terms(**terms), networks=networks)) == notes


def test_a_device_without_effect_is_noted():
    for device in ("cuda", "mps:0"):
        notes = Settings("y", device=device).without_effect(out_of_bag=False, classical="forest")
        assert notes == [f"device={device!r} has no effect: forest runs on the CPU"]
        assert Settings("y", device=device).without_effect(out_of_bag=False, classical=None) == []


def test_python_objects_can_have_no_role(tmp_path):
    table = pl.DataFrame(BASE).with_columns(pl.Series("o", [object() for _ in range(80)], dtype=pl.Object))
    for role in ("group", "time", "split", "weight"):
        with pytest.raises(SchemaError, match=f"column 'o' cannot be the {role}: it holds Python objects"):
            lamina.fit(table, "y", **LINEAR, **{role: "o"})
    result = [lamina.fit(table, "y", run=run, **LINEAR).predict_proba(BASE) for run in (None, tmp_path / "r")]
    assert np.array_equal(*result)
    (tmp_path / "r/model.lamina").unlink()
    assert np.array_equal(lamina.resume(tmp_path / "r", monitor=None).predict_proba(BASE), result[0])


def test_advice_names_options_that_exist():
    table = {"name": [f"u{i:04}" for i in range(40)], "y": ["a", "b"] * 20}
    with pytest.raises(SchemaError, match=r"keep one with kinds=\{name: 'category'\}"):
        lamina.fit(table, "y", **LINEAR)
    assert lamina.fit(table, "y", kinds={"name": "category"}, **LINEAR).model_.schema["name"].role == "feature"


# The family that the data choose


def test_auto_with_options_follows_the_data():
    rows = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
    model = Classifier(Auto(image_size=4), Recipe(epochs=1), random_state=0).fit(rows, ["a", "b"] * 12)
    assert (model.model_.family, model.model_.card["family"]["image_size"]) == ("convolutional", 4)
    assert "holds images: convolutional" in model.model_.card["why"]
    missing = "'convolutional' for these columns, which has no option 'hidden_sizes'; .*has it: 'feedforward', 'realmlp', 'rec"
    with pytest.raises(OptionError, match=f"family 'auto' is {missing}"):
        Classifier(random_state=0).set_params(family__hidden_sizes=(7,)).fit(rows, ["a", "b"] * 12)
    table = lamina.fit(BASE, "y", family=Auto(members=1, hidden_sizes="7"), recipe=Recipe(epochs=1), monitor=None)
    assert table.family == FeedForward(members=1, hidden_sizes=(7,))
    assert table.model_.card["why"].startswith("plain columns")
    with pytest.raises(OptionError, match="FeedForward.dropout is 2, expected"):
        lamina.fit(BASE, "y", family=Auto(dropout=2), monitor=None)


def test_auto_is_a_parameter_like_others():
    model = Classifier(Auto(members=1))
    assert clone(model).family == Auto(members=1)
    assert clone(model).set_params(family__hidden_sizes=(4,)).family == Auto(members=1, hidden_sizes=(4,))
    assert model.family == Auto(members=1)
    assert (repr(Auto(members=1)), Auto() == "auto") == ("Auto(members=1)", False)


def test_a_comparison_refuses_options_of_one_family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(BASE).write_csv("t.csv")
    result = command("compare", "t.csv", "--target", "y", "--family", "feedforward", "--set", "family.hidden_sizes=7")
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert "--set family.hidden_sizes=7: a comparison has several families, so --set is for the recipe" in result.err
