"""The kinds of layers: what they refuse, the shapes they give."""

import pytest

from lamina.errors import GraphError
from lamina.graph import (
    Activation,
    CategoryEmbedding,
    Dense,
    Dropout,
    Join,
    Layer,
    MemberDense,
    Norm,
    NumberEmbedding,
    Plan,
)
from tests.graph.helpers import one


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "Dense.size is 0, expected a whole number of at least 1"),
        (lambda: Dense(2.5), "Dense.size is 2.5, expected a whole number"),
        (lambda: Dense(True), "Dense.size is True, expected a whole number"),
        (lambda: Dense(3, "rleu"), "Dense.activation is 'rleu', expected one of its names; did you mean 'relu'"),
        (lambda: Dense(3, output="sofmax"), "Dense.output is 'sofmax', .* did you mean 'softmax'"),
        (lambda: Dense(3, propagation="product"), "Dense.propagation is 'product', .* known: weighted_sum"),
        (lambda: Dense(3, join="stack"), "Dense.join is 'stack', .* known: concat, add"),
        (lambda: Dense(3, dropout=1), "Dense.dropout is 1, expected a number from 0 up to, not including, 1"),
        (lambda: Dense(3, members=0), "Dense.members is 0"),
        (lambda: Dense(3, adapter=True), "Dense.adapter is True without members; set members"),
        (lambda: MemberDense(3, members=0), "MemberDense.members is 0"),
        (lambda: Dense(2, chunks=(2, 0)), r"Dense.chunks is \(2, 0\), expected whole numbers of at least 1"),
        (lambda: Dense(2, chunks=5), "Dense.chunks is 5, expected whole numbers"),
        (lambda: Activation("softplus"), "Activation.name is 'softplus'"),
        (lambda: Dropout(-0.1), "Dropout.share is -0.1"),
        (lambda: Norm("group"), "Norm.kind is 'group', .* known: layer, batch"),
        (lambda: CategoryEmbedding((3,), (1, 2)), "CategoryEmbedding has 1 cardinalities and 2 sizes; give one of each"),
        (lambda: CategoryEmbedding((), ()), "CategoryEmbedding has 0 cardinalities"),
        (lambda: NumberEmbedding("piecewise"), "NumberEmbedding.kind is 'piecewise', .* did you mean 'piecewise_linear'"),
        (lambda: NumberEmbedding(sigma=0), "NumberEmbedding.sigma is 0, expected a number above 0"),
        (lambda: NumberEmbedding(bins=0), "NumberEmbedding.bins is 0"),
        (lambda: Plan(one(Dense(2, chunks=(1, 1)))), "layer 'layer': Dense.chunks sum to 2, but the input has 3; give widths"),
        (lambda: Plan(one(CategoryEmbedding((3,), (1,)))), r"layer 'layer': CategoryEmbedding has 1 columns, but .* \(3,\)"),
        (lambda: Plan(one(NumberEmbedding(), shape=(2, 2))), r"NumberEmbedding reads one row of numbers, .* \(2, 2\)"),
    ],
)
def test_bad_layers_are_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()


def test_layers_know_their_shapes_alone():
    assert Dense(4).shape([(2, 3), (5,)]) == (4,)
    with pytest.raises(GraphError, match=r"input 0 \(3,\) and input 1 \(4,\) cannot join by 'add'"):
        Join("add").shape([(3,), (4,)])
    assert isinstance(Layer.from_json(Dense(4).to_json()), Dense)
