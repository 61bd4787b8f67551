"""Linear models of texts whose terms are weighed by naive Bayes (Wang and Manning 2012)."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import lamina
from lamina.families.classical.naive_bayes import NaiveBayesLogistic

X = sparse.csr_matrix(np.array([[1.0, 0, 2], [0, 1, 2], [3, 0, 0], [0, 2, 1], [1, 1, 0]] * 4, dtype=np.float32))


def test_weights_are_those_of_logistic_regression_on_terms_times_their_ratios():
    target = np.array([1, 0, 1, 0, 1] * 4)
    terms = np.array([True, True, False])
    model = NaiveBayesLogistic(terms, C=2.0).fit(X, target)
    # in 12 texts of class 1 the first term is in 12 and the second in 4; in 8 texts of class 0 in 0 and 8
    ratios = np.array([np.log(13 / 18) - np.log(1 / 10), np.log(5 / 18) - np.log(9 / 10), 1.0])
    plain = LogisticRegression(C=2.0).fit(X.toarray() * ratios, target)
    np.testing.assert_allclose(model.coef_[0], plain.coef_[0] * ratios, rtol=1e-3)
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X.toarray() * ratios), atol=1e-4)


def test_weights_of_rows_count_as_repeated_rows():
    target, weight = np.array([2, 0, 1, 0, 2] * 4), np.array([1.0, 2, 3, 1, 1] * 4)
    weighted = NaiveBayesLogistic(np.ones(3, dtype=bool)).fit(X, target, weight)
    rows = np.repeat(np.arange(20), weight.astype(int))
    repeated = NaiveBayesLogistic(np.ones(3, dtype=bool)).fit(X[rows], target[rows])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-3)
    assert weighted.predict_proba(X).shape == (20, 3)
    np.testing.assert_allclose(weighted.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_model_of_texts_beside_a_number_is_saved_with_it(tmp_path, classes):
    random = np.random.default_rng(0)
    words = [["good", "fine"], ["bad", "poor"], ["dull", "slow"]][:classes]
    label = np.arange(90) % classes
    texts = [" ".join([random.choice(words[code]), *random.choice("a b c d e the film was".split(), 7)]) for code in label]
    table = {"t": texts, "x": random.normal(size=90), "y": np.array(["u", "v", "w"])[label]}
    kinds = {"t": "text"}
    model = lamina.fit(table, "y", family=lamina.Linear(naive_bayes=True), kinds=kinds, seed=0)
    assert model.score(table, table["y"]) > 0.95
    model.save(tmp_path / "m.lamina")
    again = lamina.load(tmp_path / "m.lamina")
    np.testing.assert_array_equal(again.predict_proba(table), model.predict_proba(table))
    chosen = lamina.fit(table, "y", family="linear", kinds=kinds, seed=0).predict_proba(table)
    plain = lamina.fit(table, "y", family=lamina.Linear(naive_bayes=False), kinds=kinds, seed=0).predict_proba(table)
    assert any(np.array_equal(chosen, other) for other in (plain, model.predict_proba(table)))


def test_it_has_no_effect_without_texts():
    table = {"x": np.arange(40.0), "y": ["a", "b"] * 20}
    model = lamina.fit(table, "y", family=lamina.Linear(naive_bayes=True), seed=0)
    assert any("naive_bayes=True has no effect" in note for note in model.model_.card["notes"])
