import numpy as np
from scipy import sparse

from lamina.families.classical.matrix import all_classes, coded, one_hot, ordered

BLOCKS = {
    "numbers": np.array([[0.5], [np.nan]], np.float32),
    "flags": np.array([[-1], [1]], np.float32),
    "categories": np.array([[0, 2], [1, 0]]),
    "image": np.array([[[[255]]], [[[51]]]], np.uint8),
}
TERMS = sparse.csr_matrix(np.array([[0.6, 0.8], [0, 0]], np.float32))


def test_one_hot_levels_and_scaled_pixels():
    features = one_hot(BLOCKS, (2, 3), flag=0.5, level=2.0)
    nan = np.nan
    np.testing.assert_allclose(features, [[0.5, -0.5, 2, 0, 0, 0, 2, 1], [nan, 0.5, 0, 2, 2, 0, 0, 0.2]], atol=1e-7)
    assert features.dtype == np.float32


def test_texts_and_very_many_levels_stay_sparse():
    with_terms = one_hot({**BLOCKS, "text": TERMS}, (2, 3))
    assert sparse.issparse(with_terms)
    np.testing.assert_allclose(with_terms.toarray(), np.hstack([one_hot(BLOCKS, (2, 3)), TERMS.toarray()]))
    many = one_hot({"categories": np.array([[0, 1999]])}, (3, 2000))
    assert sparse.issparse(many)
    assert many.indices.tolist() == [0, 2002]


def test_features_of_trees_are_codes():
    assert coded(BLOCKS)[:, :3].tolist()[0] == [0, 2, 0.5]
    np.testing.assert_array_equal(ordered(BLOCKS)[:, 2:4], [[np.nan, 2], [1, np.nan]])
    assert ordered({"text": TERMS}).tolist() == TERMS.toarray().tolist()
    assert ordered({"image": BLOCKS["image"][:0]}).shape == (0, 1)


def test_a_class_without_training_rows_gets_a_column():
    assert all_classes(np.array([[0.3, 0.7]]), (0, 2), 4).tolist() == [[0.3, 0, 0.7, 0]]
