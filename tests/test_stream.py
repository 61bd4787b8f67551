"""After the last step the prediction of a stream is that of the model for the whole series."""

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.data.read import read_table
from lamina.errors import OptionError, SchemaError
from lamina.families import Convolutional, Recurrent
from lamina.graph.layers.recurrent import Loop
from lamina.graph.layers.recurrent import Recurrent as Layer
from lamina.stream import Stream
from lamina.train.recipe import Recipe

ROWS = 40


def table(columns="wave", seed=0):
    random = np.random.default_rng(seed)
    waves = [random.normal(size=(length, 2)) for length in random.integers(2, 8, ROWS)]
    waves[3][1, 0] = np.nan  # missing in training, so there is a channel of indicators
    whole = {
        "wave": waves,
        "other": waves,
        "age": random.normal(size=ROWS),
        "sum": [float(np.nansum(wave)) for wave in waves],
        "way": ["up" if wave[0, 1] > 0 else "down" for wave in waves],
    }
    return {name: whole[name] for name in columns.split()}


def fit(data, target="way", family=None, **options):
    family = family or Recurrent(**{"hidden_sizes": (4, 5), "bidirectional": False, **options})
    return lamina.fit(data, target, family=family, recipe=Recipe(epochs=2), monitor=None)


def follow(stream, wave):
    return [stream.step(step) for step in wave][-1]


@pytest.mark.parametrize("pool", ["last", "mean", "max", "mean_max"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "indirect"])
def test_the_last_prediction_is_the_models(cell, pool):
    data = table("wave way")
    model = fit(data, cell=cell, pool=pool)
    outputs, stream = model.model_.outputs(features(data)), Stream(model)
    for row in (0, 3, 17):
        stream.reset()
        np.testing.assert_allclose(follow(stream, data["wave"][row]), outputs[row], rtol=0, atol=1e-6)
        assert stream.steps == len(data["wave"][row])


def features(data):
    return read_table({name: values for name, values in data.items() if name == "wave" or name == "age"})


def test_other_columns_are_constant():
    data = table("wave age way")
    model, whole = fit(data), features(data)
    outputs, stream = model.model_.outputs(whole), Stream(model, whole[:1])
    np.testing.assert_allclose(follow(stream, data["wave"][0]), outputs[0], rtol=0, atol=1e-6)
    stream.reset({"age": [data["age"][5]]})
    np.testing.assert_allclose(follow(stream, data["wave"][5]), outputs[5], rtol=0, atol=1e-6)
    stream.reset()
    np.testing.assert_allclose(follow(stream, data["wave"][5]), outputs[5], rtol=0, atol=1e-6)


def test_values_have_the_units_of_the_target():
    data = table("wave sum")
    model, whole = fit(data, "sum"), features(data)
    predictions = model.model_.task.predict(model.model_.outputs(whole)).labels
    np.testing.assert_allclose(follow(Stream(model.model_), data["wave"][7]), predictions[7:8], rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "indirect"])
def test_earlier_steps_are_not_computed_again(cell, monkeypatch):
    model = fit(table("wave way"), cell=cell)
    stream, lengths = Stream(model), []
    kind = Layer if cell != "indirect" else Loop
    for name, layer in model.model_.net.plan.layers.items():
        if isinstance(layer, kind):
            module = model.model_.net.get_submodule(name)
            real = module.step
            monkeypatch.setattr(module, "step", lambda x, state, real=real: (lengths.append(x.shape[1]), real(x, state))[1])
    for _ in range(5):
        stream.step([0.1, 0.2])
    assert set(lengths) == {1}
    assert len(lengths) == (10 if cell == "lstm" else 5)


def test_models_that_cannot_stream_are_refused():
    data = table("wave way")
    for pool, layer in (("mean", "series_recurrent1"), ("last", "series_recurrent1")):
        with pytest.raises(OptionError, match=rf"layer '{layer}' is bidirectional; fit with bidirectional=False"):
            Stream(fit(data, hidden_sizes=(4,), bidirectional=True, pool=pool))
    with pytest.raises(OptionError, match=r"needs all steps at once; fit family='recurrent' with"):
        Stream(fit(data, family=Convolutional()))
    with pytest.raises(OptionError, match=r"the model has 2 columns of series, expected 1"):
        Stream(fit(table("wave other way")))
    with pytest.raises(OptionError, match=r"model is a str, expected a fitted model"):
        Stream("model.lamina")


def test_steps_are_checked():
    model = fit(table("wave age way"))
    with pytest.raises(SchemaError, match=r"the table lacks column 'age'"):
        Stream(model)
    with pytest.raises(OptionError, match=r"row has 2 rows; give a table of one row"):
        Stream(model, pl.DataFrame({"age": [1.0, 2.0]}))
    with pytest.raises(SchemaError, match=r"column 'wave' has 3 channels in row 1"):
        Stream(model, {"age": [1.0]}).step([1.0, 2.0, 3.0])
