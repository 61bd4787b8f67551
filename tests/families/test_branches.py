"""What a family with branches decides by itself."""

import polars as pl
import pytest

from lamina.data.encoding import Input
from lamina.families import Convolutional
from lamina.families.family import LEARNING_RATES
from lamina.tasks import Task
from lamina.train.recipe import Recipe

GIVEN = {
    "rows": 1000,
    "inputs": {"image": Input((8, 8, 3), ("photo",), kind="image")},
    "task": Task.infer(pl.DataFrame({"y": ["n", "y"] * 5}), "y"),
}


@pytest.mark.parametrize("optimizer", LEARNING_RATES)
def test_fine_tuning_takes_a_tenth_of_the_steps_of_the_optimizer(optimizer):
    family = Convolutional(image_part="backbone", frozen=False)
    recipe = family.complete(Recipe(optimizer=optimizer), **GIVEN)
    expected = {"sgd": 0.005, "adagrad": 0.002, "rmsprop": 1e-4, "adam": 3e-4, "adamw": 3e-4}
    assert (recipe.learning_rate, recipe.epochs) == (expected[optimizer], 15)
    assert family.complete(Recipe(optimizer=optimizer, learning_rate=0.5), **GIVEN).learning_rate == 0.5
