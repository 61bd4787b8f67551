"""LightGBM, XGBoost and CatBoost, where they are installed; and what is said where they are not."""

import sys

import numpy as np
import pytest

from lamina.errors import OptionError
from lamina.families import CLASSICAL, Boosting
from lamina.families.classical.boosting import UNWATCHED
from lamina.families.classical.family import Rows
from lamina.families.predictor import PREDICTORS
from tests.families.classical.helpers import KINDS, blocks, how, make

NAMES = [name for name, family in CLASSICAL.items() if family.needs]


@pytest.fixture(params=NAMES)
def name(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_a_row_has_the_same_bits_alone_in_company_and_from_a_file(name, kind):
    rows, held = make(kind, 600, missing=True), make(kind, 200, 1, missing=True)
    found = CLASSICAL[name](max_iter=60).fit(rows, held, how())
    new = make(kind, 200, 2, missing=True)
    said = found.outputs(new.blocks, 200)
    assert said.dtype == np.float64
    if kind in ("binary", "classes"):
        assert (said.argmax(1) == new.target).mean() > 0.75
        np.testing.assert_allclose(said.sum(1), 1, atol=1e-12)
        assert kind == "binary" or (said.shape[1] == 5 and not said[:, [1, 4]].any())
    else:
        assert (1 - ((said - new.target) ** 2).mean(0) / new.target.var(0)).min() > 0.6
    alone = [found.outputs({key: block[i : i + 1] for key, block in new.blocks.items()}, 1) for i in range(30)]
    assert np.array_equal(np.concatenate(alone), said[:30])
    again = PREDICTORS[name].from_file(found.to_json(), found.tensors())
    assert np.array_equal(again.outputs(new.blocks, 200), said)
    assert found.outputs({key: block[:0] for key, block in new.blocks.items()}, 0).shape == (0, said.shape[1])
    assert found.size() == sum(len(tensor) for tensor in found.tensors().values())


def test_it_stops_at_the_best_round_and_without_rows_to_tell_after_a_hundred(name):
    rows, held = make("binary", 200), make("binary", 100, 1)
    noise = Rows(rows.blocks, rows.inputs, np.random.default_rng(0).integers(0, 2, 200), 2)
    options = {"max_iter": 400, "learning_rate": 0.3}
    short = CLASSICAL[name](patience=5, **options).fit(noise, held, how())
    strange = Rows(held.blocks, held.inputs, held.target, held.classes, np.zeros(100))
    long = CLASSICAL[name](**options).fit(noise, strange, how())
    same = CLASSICAL[name](max_iter=UNWATCHED, learning_rate=0.3).fit(noise, strange, how())
    assert short.size() < long.size() == same.size()


def test_a_handful_of_rows_only_numbers_only_categories_and_weights(name):
    rows = make("binary", 60, levels=())
    few = Rows({key: block[:6] for key, block in rows.blocks.items()}, rows.inputs, np.arange(6) % 2, 2)
    assert np.isfinite(CLASSICAL[name](max_iter=3).fit(few, few, how()).outputs(blocks(3, levels=()), 3)).all()
    rows = make("binary", 200)
    codes = Rows(
        {"categories": rows.blocks["categories"]}, {"categories": rows.inputs["categories"]}, rows.target, rows.classes
    )
    heavy = Rows(codes.blocks, codes.inputs, codes.target, 2, np.where(codes.target == 1, 1e-6, 1.0))
    found = CLASSICAL[name](max_iter=5).fit(heavy, heavy, how())
    assert found.outputs({"categories": np.array([[1, 5], [0, 0]])}, 2)[:, 1].max() < 0.5


def test_it_is_as_good_as_lamina_s_own_boosting(name):
    rows, held, new = (make("binary", 2000, seed) for seed in (0, 1, 2))

    def loss(family) -> float:
        said = family.fit(rows, held, how()).outputs(new.blocks, 2000)
        return -np.log(said[np.arange(2000), new.target]).mean()

    assert loss(CLASSICAL[name]()) < 1.15 * loss(Boosting())


@pytest.mark.parametrize("missing", NAMES)
def test_a_library_that_is_not_there_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    match = rf"the family '{missing}' needs {missing}, which cannot be imported here \(.*\); pip install {missing}, or take"
    with pytest.raises(OptionError, match=match):
        CLASSICAL[missing]().fit(make("binary"), make("binary"), how())
    content = {"categories": 2, "classes": 2, "known": [0, 1]}
    import torch

    with pytest.raises(OptionError, match=match):
        PREDICTORS[missing].from_file(content, {"model0": torch.zeros(3, dtype=torch.uint8)})
