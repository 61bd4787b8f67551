"""Features of random convolutions of series."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.data.columns.kernels import KERNELS, KernelsBlock
from lamina.data.encoding import Encoding
from lamina.errors import ModelFileError


def column(rows, channels):
    return pl.Series("wave", [np.asarray(row).tolist() for row in rows], dtype=pl.List(pl.Array(pl.Float64, channels)))


def waves(rows=12, channels=3, shortest=20, longest=60, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(random.integers(shortest, longest), channels)).cumsum(axis=0) for _ in range(rows)]


def plain_features(block, row):
    """The features of one series step by step, as in the paper."""
    steps = ((np.asarray(row) - block.series.centers) / block.series.scales).clip(-10, 10).astype(np.float32)
    features = []
    for place, dilation in enumerate(block.dilations):
        for kernel, twos in enumerate(combinations(range(9), 3)):
            weights = np.full(9, -1.0)
            weights[list(twos)] = 2
            joined = steps[:, list(block.subsets[place][kernel])].sum(axis=1)
            padded = np.pad(joined, 4 * dilation)
            response = [sum(weights[i] * padded[t + i * dilation] for i in range(9)) for t in range(len(joined))]
            inner = (place + kernel) % 2 == 1 and len(joined) > 8 * dilation
            counted = np.array(response[4 * dilation : len(joined) - 4 * dilation] if inner else response)
            features += [float((counted > bias).mean()) for bias in block.biases[place][kernel]]
    return np.array(features)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_the_paper(channels):
    rows = waves(channels=channels)
    block = KernelsBlock.fit(column(rows, channels), Encoding(kernels=700), "series")
    found = block.transform(column(rows[:3], channels))["series"]
    expected = np.stack([plain_features(block, row) for row in rows[:3]])
    steps = [len(row) for row in rows[:3]]
    assert np.abs(found - expected).max() <= 1.01 / min(steps)  # where rounding puts a response on the other side of a bias
    assert np.mean(found != expected.astype(np.float32)) < 0.001


def test_number_of_features_and_dilations():
    block = KernelsBlock.fit(column(waves(shortest=100, longest=101), 3), Encoding(kernels=10_000), "series")
    assert block.dilations == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)  # 8 x 12 is below 99 steps
    assert block.inputs["series"].shape == (84 * 119,)
    assert len(KERNELS) == 84
    assert KernelsBlock.fit(column(waves(shortest=2, longest=5), 3), Encoding(kernels=100), "series").dilations == (1,)


def test_a_row_is_as_if_alone_and_padding_changes_nothing():
    rows = waves(30)
    block = KernelsBlock.fit(column(rows, 3), Encoding(kernels=500), "series")
    together = block.transform(column(rows, 3))
    for i in (0, 7, 29):
        alone = block.transform(column([rows[i]], 3))
        assert all((alone[name][0] == together[name][i]).all() for name in together)
    empty = block.transform(column([[]], 3))["series"]
    assert (empty == 0).all()


def test_saved_and_damaged():
    block = KernelsBlock.fit(column(waves(), 3), Encoding(kernels=200), "series")
    assert KernelsBlock.from_json(json.loads(json.dumps(block.to_json()))) == block
    for damaged in (
        replace(block, dilations=(10**9,)),
        replace(block, biases=()),
        replace(block, subsets=((((99,),) * 84),) * len(block.dilations)),
    ):
        with pytest.raises(ModelFileError, match="the kernels of column 'wave' cannot be read"):
            KernelsBlock.from_json(damaged.to_json())


@pytest.mark.parametrize("regression", [False, True])
def test_frequency_is_learnt_from_few_series(regression):
    random = np.random.default_rng(0)
    periods = random.uniform(8, 30, 120)
    rows = [np.sin(np.arange(80) * 2 * np.pi / p + random.uniform(0, 7)) + random.normal(0, 0.3, 80) for p in periods]
    target = periods if regression else np.where(periods < 16, "fast", "slow")
    table = {"wave": rows, "y": target}
    model = lamina.fit({name: values[:90] for name, values in table.items()}, "y", family="rocket", seed=0)
    score = model.score({"wave": rows[90:]}, target[90:])
    assert score > (0.9 if regression else 0.93)
    weights = model.model_.predictor.weights
    assert weights.shape[0] == sum(np.prod(block.shape) for block in model.model_.encoder.inputs.values())
