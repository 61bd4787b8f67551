"""The wide part of networks for texts: a linear layer of terms beside the network."""

import numpy as np
import polars as pl
import pytest
import torch

import lamina
from lamina.data.encoding import Input
from lamina.data.feed import Feed
from lamina.data.schema import Schema
from lamina.errors import GraphError
from lamina.families import Attention, Convolutional, shortlist
from lamina.graph import Graph, Net, Plan
from lamina.graph.layers import SparseDense
from lamina.train.recipe import Recipe
from lamina.train.step import Trainer

INPUTS = {
    "text": Input((5,), ("review",), (9,), "text"),
    "text_terms": Input((2, 7), ("review",), (40,), "weighted"),
}
SMALL = {"hidden_size": 8, "num_heads": 2, "embedding_dim": 8, "max_length": 4}
SHORT = lamina.Recipe(epochs=6, batch_size=16, threads=1)


def sparse_rows(rows, seed=0):
    random = np.random.default_rng(seed)
    codes = np.stack([random.permutation(39)[:7] + 1 for _ in range(rows)])
    weights = random.uniform(0.1, 1, codes.shape)
    empty = np.arange(7) >= random.integers(0, 8, (rows, 1))
    codes[empty], weights[empty] = 0, 0
    return torch.from_numpy(np.stack([codes, weights], axis=1).astype(np.float32))


def test_the_layer_is_the_product_of_dense_rows_with_its_gradients():
    graph = Graph()
    graph.input("x", shape=(2, 7))
    graph.layer("wide", SparseDense(3, columns=40, scale=2.0), after="x")
    graph.output("y", after="wide")
    net = Net(Plan(graph), seed=0)
    assert not net({"x": sparse_rows(4)}).any()  # it starts with zeros
    x = sparse_rows(20)
    dense = torch.zeros(20, 40).scatter_add_(1, x[:, 0].long(), x[:, 1])
    weight = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    net.wide.weight.data.copy_(weight)
    weight = weight.requires_grad_()
    (net({"x": x}) ** 2).sum().backward()
    ((2 * dense @ weight) ** 2).sum().backward()
    torch.testing.assert_close(net({"x": x}), 2 * dense @ weight)
    expected = weight.grad.clone()
    expected[0] = 0  # padding
    torch.testing.assert_close(net.wide.weight.grad, expected)


def test_the_layer_refuses_other_shapes_and_scales():
    with pytest.raises(GraphError, match=r"SparseDense reads \(2, entries\), codes and values, but was given \(3, 7\)"):
        SparseDense(3, columns=4).shape([(3, 7)])
    with pytest.raises(GraphError, match="SparseDense.scale is 0, expected a number above 0"):
        SparseDense(3, columns=4, scale=0)


def test_a_step_is_recorded_and_replayed():
    family = Attention(**SMALL, dropout=0.0, word_dropout=0.0)
    blocks = {"text": torch.randint(0, 9, (64, 5), generator=torch.Generator().manual_seed(0), dtype=torch.int32)}
    blocks["text_terms"] = sparse_rows(64)
    target = torch.arange(64) % 3
    after = []
    for mode in ("eager", "traced"):
        net = Net(Plan(family.graph(INPUTS, 3)), seed=0)
        recipe = Recipe(batch_size=16, step_mode=mode, loss="cross_entropy", learning_rate=1e-2, weight_decay=0.0)
        trainer = Trainer(net, Feed(blocks, target), recipe)
        for _ in range(3):
            trainer.run_epoch(torch.arange(64), [1e-2] * 4)
        assert not trainer.why_eager
        after.append({name: value.clone() for name, value in net.state_dict().items()})
    assert "text_terms_wide" in trainer.source
    assert after[0]["text_terms_wide.weight"].any()
    for name, value in after[0].items():
        assert torch.equal(value, after[1][name]), name


def test_it_is_a_layer_of_the_graph_that_the_head_reads():
    plan = Plan(Attention(**SMALL).graph(INPUTS, 3))
    assert [edge.source for edge in plan.edges["head"]] == ["text_end", "text_terms_wide"]
    assert plan.layers["text_terms_wide"] == SparseDense(3, columns=40, scale=10.0)
    assert "text_terms_wide" not in Plan(Attention(**SMALL).graph(INPUTS, 65)).layers
    assert "text_terms_wide" in Plan(Attention(**SMALL, wide=True).graph(INPUTS, 65)).layers
    two = INPUTS | {"text2": INPUTS["text"], "text2_terms": INPUTS["text_terms"]}
    plan = Plan(Convolutional().graph(two, 2))
    assert [edge.source for edge in plan.edges["head"]] == ["joined", "text_terms_wide", "text2_terms_wide"]


def test_the_candidate_beside_a_linear_model_has_none():
    schema = Schema.infer(
        pl.DataFrame({"t": [f"some words of a text number {i}" for i in range(30)], "y": [0, 1] * 15}), target="y"
    )
    assert [getattr(family, "wide", None) for family in shortlist(schema)] == [None, False]


def rows(classes=("low", "high")):
    """Texts whose class is the last word, which a network of four tokens does not read."""
    filler = ["once upon a time there was", "in the middle of the night came", "nobody had ever seen such things as"]
    return {
        "story": [f"{filler[i % 3]} {i % 7} {'summer winter autumn'.split()[i % len(classes)]}" for i in range(120)],
        "y": [classes[i % len(classes)] for i in range(120)],
    }


@pytest.fixture(scope="module")
def model():
    return lamina.fit(rows(), "y", kinds={"story": "text"}, family=Attention(**SMALL), recipe=SHORT, monitor=None, seed=0)


def test_it_reads_whole_texts_and_a_file_gives_the_same_bits(model, tmp_path):
    new = {"story": ["what comes after this very long introduction is winter", "and what comes after that one is summer", None]}
    assert list(model.predict(new))[:2] == ["high", "low"]
    deep = lamina.fit(
        rows(), "y", kinds={"story": "text"}, family=Attention(**SMALL, wide=False), recipe=SHORT, monitor=None, seed=0
    )
    assert len({*deep.predict(new)}) == 1  # all begin with unknown words
    assert "text_terms_wide" in model.model_.net.plan.layers
    model.save(tmp_path / "a.lamina")
    np.testing.assert_array_equal(lamina.load(tmp_path / "a.lamina").predict_proba(new), model.predict_proba(new))
    alone = np.concatenate([model.predict_proba({"story": [text]}) for text in new["story"]])
    np.testing.assert_array_equal(alone, model.predict_proba(new))


def test_a_warm_start_keeps_it_with_more_classes(model):
    one = lamina.Recipe(epochs=1, batch_size=80, threads=1, ema_decay=None)
    again = lamina.fit(rows(("low", "high", "middle")), "y", start=model, recipe=one, monitor=None, seed=0)
    assert again.model_.net.plan.shapes["head"] == (3,)
    before, after = (one.model_.net.get_parameter("text_terms_wide.weight") for one in (model, again))
    torch.testing.assert_close(after, before, rtol=0, atol=0.02)  # a few steps from where it was
    assert before.abs().max() > 0.03


def test_without_texts_the_option_has_no_effect():
    table = {"x": [i / 40 for i in range(40)], "y": ["a", "b"] * 20}
    model = lamina.fit(table, "y", family=Attention(wide=True), recipe=lamina.Recipe(epochs=1), monitor=None, seed=0)
    assert "wide=True has no effect: no column is read as text" in model.model_.card["notes"]
