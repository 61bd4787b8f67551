"""The space of a tuning: as the options declare it, or as a person gives it."""

import dataclasses
import json

import polars as pl
import pytest

from lamina import Boosting, FeedForward, Forest, Linear, Recipe
from lamina.cli.tune import parse_space
from lamina.data.schema import Schema
from lamina.errors import OptionError
from lamina.families import FAMILIES, Constant
from lamina.options import check_option
from lamina.tuning.space import Space, declared_space, given_space, ranges, shown

SCHEMA = Schema.infer(
    pl.DataFrame({"x": [0.5, 1.5, 2.25] * 9, "town": ["a", "b", "c"] * 9, "y": [1.5, 2.5, 3.5] * 9}), target="y"
)


def one(family):
    return {family.name: family}


@pytest.mark.parametrize("cls", [Recipe, *FAMILIES.values()])
def test_declared_ranges_are_within_the_bounds(cls):
    for field in dataclasses.fields(cls):
        tune = field.metadata.get("tune", ())
        for value in tune if isinstance(tune, list) else tune[:2]:
            check_option(cls, field.name, value)
        if isinstance(tune, tuple) and tune:
            assert tune[0] < tune[1]


def test_the_space_is_what_the_options_declare():
    space = declared_space(one(Boosting(max_leaf_nodes=7)), Recipe(), SCHEMA)
    assert [str(dimension) for dimension in space.dimensions] == [
        "0.01 to 0.3 (log)",
        "2 to 200 (log)",
        "0.0, 0.1, 1.0, 10.0, 100.0",
    ]
    assert list(space.to_json()) == ["family.learning_rate", "family.min_samples_leaf", "family.l2_regularization"]
    network = declared_space(one(FeedForward()), Recipe(learning_rate=0.01), SCHEMA)
    assert {"family.hidden_sizes", "family.dropout", "recipe.weight_decay"} <= set(network.to_json())
    assert "recipe.learning_rate" not in network.to_json()  # given, so it is fixed
    assert "family.embedding_dim" not in network.to_json()  # there is no text


def test_several_families_are_a_choice_with_options_of_their_own():
    families = {"boosting": Boosting(), "feedforward": FeedForward()}
    space = declared_space(families, Recipe(), SCHEMA)
    assert {"boosting.max_leaf_nodes", "feedforward.dropout", "recipe.learning_rate"} <= set(space.to_json())
    family, recipe = space.apply({"family": "boosting", "boosting.max_leaf_nodes": 9, "recipe.learning_rate": 0.5})
    assert (family, recipe) == (Boosting(max_leaf_nodes=9), Recipe())
    assert space.apply({})[0] == Boosting()


def test_a_given_space_survives_json_and_is_applied():
    given = {"family.max_features": ["sqrt", 0.5, None], "family.max_depth": (2, 10)}
    space = given_space(one(Forest()), Recipe(), SCHEMA, given)
    again = given_space(one(Forest()), Recipe(), SCHEMA, ranges(json.loads(json.dumps(space.to_json()))))
    assert again == space
    assert space.apply({"family.max_features": None, "family.max_depth": 3})[0] == Forest(max_features=None, max_depth=3)
    sizes = given_space(one(FeedForward()), Recipe(), SCHEMA, {"family.hidden_sizes": [(8,), (8, 8)]})
    assert ranges(json.loads(json.dumps(sizes.to_json()))) == {"family.hidden_sizes": [[8], [8, 8]]}
    assert sizes.dimensions[0].choices == ((8,), (8, 8))


def test_defaults_are_parameters_as_far_as_the_ranges_contain_them():
    space = declared_space(one(FeedForward()), Recipe(), SCHEMA)
    decided = {"family": {"hidden_sizes": [128, 128]}, "recipe": {"learning_rate": 0.003, "batch_size": 4096}}
    params = space.defaults("feedforward", decided)
    assert params["recipe.learning_rate"] == 0.003
    assert params["family.hidden_sizes"] == (128, 128)
    assert "recipe.batch_size" not in params
    assert declared_space(one(Linear()), Recipe(), SCHEMA).defaults("linear", {}) == {}  # alpha="auto" is no number


WRONG = [
    (Boosting(), {"family.max_leaf_nods": (2, 9)}, r"Boosting has no option 'max_leaf_nods'; did you mean 'max_leaf_nodes'\?"),
    (Boosting(), {"max_leaf_nodes": (2, 9)}, "space names 'max_leaf_nodes', expected an option such as 'family.dropout'"),
    (Boosting(), {"bosting.max_leaf_nodes": (2, 9)}, r"did you mean 'boosting'\?"),
    (
        Boosting(),
        {"family.max_leaf_nodes": (1, 9)},
        "Boosting.max_leaf_nodes is 1, expected a whole number between 2 and 100000",
    ),
    (Boosting(), {"family.max_leaf_nodes": (2, 9.5)}, "Boosting.max_leaf_nodes is 9.5, expected a whole number"),
    (Boosting(), {"family.learning_rate": (0.1, 2)}, "Boosting.learning_rate is 2, expected a number between"),
    (Boosting(), {"family.learning_rate": (0.5, 0.1)}, "expected a lower bound that is below the upper"),
    (Boosting(), {"family.l2_regularization": (0, 1, "log")}, "expected a lower bound above 0 that is below the upper"),
    (Boosting(), {"family.learning_rate": (0.1, "high")}, r"expected \(low, high\), \(low, high, 'log'\) or a list of values"),
    (Boosting(), {"family.learning_rate": 0.1}, r"expected \(low, high\)"),
    (Boosting(), {"family.learning_rate": (0.1, float("nan"))}, "expected a lower bound"),
    (Boosting(), {"family.learning_rate": []}, "expected a list of different values"),
    (Boosting(), {"family.learning_rate": [0.1, 0.1]}, "expected a list of different values"),
    (Forest(), {"family.max_features": ["sqrt", "half"]}, "Forest.max_features is 'half', expected one of"),
    (Forest(), {"family.vote": ("mean", "mode")}, r"expected \(low, high\)"),
    (Forest(), {"family.vocabulary_size": (10, 100)}, "no effect: no column is read as terms"),
    (Boosting(), {"recipe.learning_rate": (0.1, 0.2)}, "boosting has no recipe: it is no network"),
    (
        FeedForward(),
        {"recipe.learning_rat": (0.1, 0.2)},
        r"Recipe has no option 'learning_rat'; did you mean 'learning_rate'\?",
    ),
    (FeedForward(dropout=0.2), {"family.dropout": (0.1, 0.2)}, "which is also given as dropout=0.2; give one of the two"),
    (Boosting(), {}, "there is nothing to tune"),
]


@pytest.mark.parametrize(("family", "given", "match"), WRONG)
def test_what_a_space_cannot_be(family, given, match):
    with pytest.raises(OptionError, match=match):
        given_space(one(family), Recipe(), SCHEMA, given)


def test_a_family_without_options_to_search_is_refused():
    with pytest.raises(OptionError, match="there is nothing to tune: no option of the family 'constant' is left to search"):
        declared_space(one(Constant()), Recipe(), SCHEMA)


def test_the_command_line_writes_the_same_ranges():
    texts = ["family.hidden_sizes=64x64,128", "recipe.learning_rate=1e-4:1e-2:log", "family.norm=none,layer"]
    assert parse_space(texts) == {
        "family.hidden_sizes": [(64, 64), 128],
        "recipe.learning_rate": (1e-4, 1e-2, "log"),
        "family.norm": [None, "layer"],
    }
    with pytest.raises(OptionError, match="--space dropout: write NAME=LOW:HIGH"):
        parse_space(["dropout"])


def test_parameters_on_a_line():
    assert shown({"family.hidden_sizes": (64, 64), "recipe.learning_rate": 0.00123456}) == (
        "family.hidden_sizes=64x64, recipe.learning_rate=0.001235"
    )
    assert isinstance(Space(one(Boosting()), Recipe(), ()).of("boosting"), list)
