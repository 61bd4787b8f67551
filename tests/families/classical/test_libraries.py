"""LightGBM, XGBoost and CatBoost, where they are installed, and the error where they are not."""

import dataclasses
import sys
import time

import numpy as np
import pytest

from lamina.errors import OptionError
from lamina.families import CLASSICAL, Boosting
from lamina.families.classical.boosting import MAX_ITER_WITHOUT_VALIDATION
from lamina.families.classical.family import Rows
from lamina.families.predictor import PREDICTORS
from tests.families.classical.helpers import KINDS, blocks, fitting, make

NAMES = [name for name, family in CLASSICAL.items() if family.needs]


@pytest.fixture(params=NAMES)
def name(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_outputs_are_bitwise_equal_for_one_row_many_rows_and_a_loaded_predictor(name, kind):
    rows, validation = make(kind, 600, missing=True), make(kind, 200, 1, missing=True)
    predictor = CLASSICAL[name](max_iter=60).fit(rows, validation, fitting())
    new = make(kind, 200, 2, missing=True)
    outputs = predictor.outputs(new.blocks, 200)
    assert outputs.dtype == np.float64
    if kind in ("binary", "classes"):
        assert (outputs.argmax(1) == new.target).mean() > 0.75
        np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-12)
        assert kind == "binary" or (outputs.shape[1] == 5 and not outputs[:, [1, 4]].any())
    else:
        assert (1 - ((outputs - new.target) ** 2).mean(0) / new.target.var(0)).min() > 0.6
    alone = [predictor.outputs({key: block[i : i + 1] for key, block in new.blocks.items()}, 1) for i in range(30)]
    assert np.array_equal(np.concatenate(alone), outputs[:30])
    loaded = PREDICTORS[name].from_file(predictor.to_json(), predictor.tensors())
    assert np.array_equal(loaded.outputs(new.blocks, 200), outputs)
    assert predictor.outputs({key: block[:0] for key, block in new.blocks.items()}, 0).shape == (0, outputs.shape[1])
    assert predictor.size() == sum(len(tensor) for tensor in predictor.tensors().values())


def test_early_stopping_and_a_hundred_iterations_without_validation_rows(name):
    rows, validation = make("binary", 200), make("binary", 100, 1)
    noise = Rows(rows.blocks, rows.inputs, np.random.default_rng(0).integers(0, 2, 200), 2)
    options = {"max_iter": 400, "learning_rate": 0.3}
    short = CLASSICAL[name](patience=5, **options).fit(noise, validation, fitting())
    weightless = Rows(validation.blocks, validation.inputs, validation.target, validation.classes, np.zeros(100))
    long = CLASSICAL[name](**options).fit(noise, weightless, fitting())
    same = CLASSICAL[name](max_iter=MAX_ITER_WITHOUT_VALIDATION, learning_rate=0.3).fit(noise, weightless, fitting())
    assert short.size() < long.size() == same.size()


@pytest.mark.parametrize("kind", ["binary", "values"])
def test_a_fit_ends_at_its_deadline_with_the_trees_it_has(name, kind):
    rows, late = make(kind, 200), dataclasses.replace(fitting(), deadline=time.monotonic() - 1)
    for validation in (make(kind, 100, 1), Rows(rows.blocks, rows.inputs, rows.target, rows.classes, np.zeros(200))):
        few, many = (CLASSICAL[name](max_iter=trees).fit(rows, validation, fitting()) for trees in (2, 6))
        stopped = CLASSICAL[name]().fit(rows, validation, late)
        assert stopped.size() <= few.size() < many.size()
    soon = dataclasses.replace(fitting(), deadline=time.monotonic() + 60)
    whole, same = (CLASSICAL[name](max_iter=20).fit(rows, rows, one) for one in (fitting(), soon))
    np.testing.assert_array_equal(whole.outputs(rows.blocks, 200), same.outputs(rows.blocks, 200))


def test_few_rows_only_numbers_only_categories_and_weights(name):
    rows = make("binary", 60, levels=())
    few = Rows({key: block[:6] for key, block in rows.blocks.items()}, rows.inputs, np.arange(6) % 2, 2)
    assert np.isfinite(CLASSICAL[name](max_iter=3).fit(few, few, fitting()).outputs(blocks(3, levels=()), 3)).all()
    rows = make("binary", 200)
    codes = Rows(
        {"categories": rows.blocks["categories"]}, {"categories": rows.inputs["categories"]}, rows.target, rows.classes
    )
    heavy = Rows(codes.blocks, codes.inputs, codes.target, 2, np.where(codes.target == 1, 1e-6, 1.0))
    predictor = CLASSICAL[name](max_iter=5).fit(heavy, heavy, fitting())
    assert predictor.outputs({"categories": np.array([[1, 5], [0, 0]])}, 2)[:, 1].max() < 0.5


def test_it_is_as_good_as_lamina_s_own_boosting(name):
    rows, validation, new = (make("binary", 2000, seed) for seed in (0, 1, 2))

    def loss(family) -> float:
        outputs = family.fit(rows, validation, fitting()).outputs(new.blocks, 2000)
        return -np.log(outputs[np.arange(2000), new.target]).mean()

    assert loss(CLASSICAL[name]()) < 1.15 * loss(Boosting())


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_library_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    match = rf"the family '{missing}' needs {missing}, which cannot be imported here \(.*\); pip install {missing}, or use"
    with pytest.raises(OptionError, match=match):
        CLASSICAL[missing]().fit(make("binary"), make("binary"), fitting())
    content = {"categories": 2, "classes": 2, "known": [0, 1]}
    import torch

    with pytest.raises(OptionError, match=match):
        PREDICTORS[missing].from_file(content, {"model0": torch.zeros(3, dtype=torch.uint8)})
