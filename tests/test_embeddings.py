"""Embeddings: the activations before the last layer, of every kind of column and as scikit-learn's transformer."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import lamina
from lamina import Classifier, FeedForward, Recipe, Regressor

QUICK = {"recipe": Recipe(epochs=3, threads=1), "trust": False}
LABELS = ["a", "b"] * 20
KINDS = {
    "image": list(np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)),
    "text": ["a good film", "a bad film", "fine and good", "bad and poor"] * 10,
    "series": [np.sin(np.arange(12) * step).tolist() for step in range(1, 41)],
}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X, y, Classifier(FeedForward(hidden_sizes=(16, 8), members=3), random_state=0, **QUICK).fit(X, y)


def test_they_are_the_activations_before_the_last_layer(iris):
    X, _, model = iris
    embeddings = model.transform(X)
    assert (embeddings.shape, embeddings.dtype) == ((150, 8), np.float32)
    net, blocks = model.model_.net, model.model_.encoder.transform(model.model_.schema.check(X)[0])
    batch = {name: torch.from_numpy(block) for name, block in blocks.items()}
    hidden = net.activations(batch, ["hidden2"])["hidden2"].detach()
    np.testing.assert_allclose(embeddings, hidden.mean(dim=1), atol=1e-6)
    np.testing.assert_array_equal(model.transform(X[:1]), embeddings[:1])
    assert model.get_feature_names_out().tolist() == [f"embedding{place}" for place in range(8)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_has_them(kind, tmp_path):
    rows = {"cell": KINDS[kind], "number": range(40), "y": LABELS}
    fitted = lamina.fit(rows, "y", kinds={"cell": kind}, monitor=None, **QUICK)
    embeddings = fitted.transform(rows)
    assert embeddings.shape == (40, len(fitted.get_feature_names_out()))
    assert np.ptp(embeddings, axis=0).max() > 0
    np.testing.assert_array_equal(lamina.load(fitted.save(tmp_path / "m.lamina")).transform(rows), embeddings)


def test_a_pipeline_learns_from_them(iris):
    X, y, _ = iris
    network = Classifier(recipe=Recipe(epochs=20, threads=1), random_state=0, trust=False)
    assert make_pipeline(network, LogisticRegression(max_iter=2000)).fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize(("estimator", "instead"), [(Classifier, r"predict_proba\(X\)"), (Regressor, r"predict\(X\)")])
def test_other_families_have_no_transform(estimator, instead, iris):
    X, y, _ = iris
    for model in (estimator("linear"), estimator("linear").fit(X, y)):
        assert not hasattr(model, "transform")
        assert not hasattr(model, "get_feature_names_out")
        with pytest.raises(AttributeError, match=f"the family 'linear' has no transform.*use {instead}, or fit a network"):
            _ = model.transform
