"""Texts as tokens and, beside them, as the codes and weights of their terms."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lamina.data.columns.terms import TermsBlock
from lamina.data.columns.tokens import TextBlock
from lamina.data.columns.wide import MOST_TERMS, WideTextBlock
from lamina.data.encode import Encoder
from lamina.data.encoding import Encoding, Input
from lamina.data.schema import Column, Schema
from lamina.errors import ModelFileError

TEXTS = ["a good film", "not a good film", None, "", "a film, unseen and long", "good good"]


def column(texts):
    return pl.Series("review", texts, dtype=pl.String)


def fit(texts, **options):
    return WideTextBlock.fit(column(texts), Encoding(wide=True, **options), "text")


def dense(block, rows):
    """The rows of (N, 2, terms) as (N, columns)."""
    out = np.zeros((len(rows), len(block.terms.terms) + 1), dtype=np.float32)
    for row, (codes, weights) in enumerate(rows):
        np.add.at(out[row], codes.astype(int), weights)
    return out[:, 1:]


def test_it_holds_the_tokens_of_networks_and_the_weights_of_classical_models():
    block = fit(TEXTS, length=3)
    rows = block.transform(column(TEXTS))
    np.testing.assert_array_equal(
        rows["text"], TextBlock.fit(column(TEXTS), Encoding(length=3), "text").transform(column(TEXTS))["text"]
    )
    terms = TermsBlock.fit(column(TEXTS), Encoding(), "text").transform(column(TEXTS))["text"].toarray()
    np.testing.assert_array_equal(dense(block, rows["text_terms"]), terms)
    assert rows["text_terms"].dtype == np.float32
    codes, weights = rows["text_terms"][:, 0], rows["text_terms"][:, 1]
    np.testing.assert_array_equal(codes > 0, weights > 0)
    assert (np.diff((codes > 0).astype(int)) <= 0).all()  # padding is at the end
    assert block.inputs["text_terms"] == Input((2, block.most), ("review",), (len(block.terms.terms) + 1,), "weighted")


def test_of_more_terms_than_fit_those_with_the_largest_weights_are_kept():
    texts = [f"common word{i}" for i in range(150)] + [" ".join(f"w{i}" for i in range(9))]
    block = fit(texts)
    assert block.most < 17
    row = block.transform(column(["w1 w2 common w3 w4 w5"]))["text_terms"][0]
    every = block.terms.transform(column(["w1 w2 common w3 w4 w5"]))["text_terms"].toarray()[0]
    kept = dense(block, row[None])[0]
    assert (kept > 0).sum() == block.most < (every > 0).sum()
    assert kept[kept > 0].min() >= every[(every > 0) & (kept == 0)].max()
    assert fit([" ".join(f"w{i}" for i in range(2_000))] * 2).most == MOST_TERMS


@pytest.mark.parametrize("texts", [[], [None, ""], ["one"]])
def test_few_and_empty_texts(texts):
    block = fit(texts)
    assert block.transform(column(texts))["text_terms"].shape == (len(texts), 2, block.most)
    assert block.transform(column([]))["text_terms"].shape == (0, 2, block.most)


def test_the_encoder_stores_it_and_refuses_damage():
    table = pl.DataFrame({"review": column(TEXTS)})
    schema = Schema((Column("review", "text", "feature", "", {}),))
    encoder = Encoder.fit(table, schema, Encoding(wide=True))
    assert isinstance(encoder.blocks[0], WideTextBlock)
    assert "beside TF-IDF weights of" in encoder.blocks[0].extent
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    again.verify(schema)
    for name, rows in encoder.transform(table).items():
        np.testing.assert_array_equal(again.transform(table)[name], rows)
    assert encoder.unseen(pl.DataFrame({"review": ["qwerty"]})) == ["review: 1 text has no word of the vocabulary"]
    for most in (0, MOST_TERMS + 1):
        with pytest.raises(ModelFileError, match=f"texts of column 'review' have {most} terms, expected 1 to 512"):
            WideTextBlock.from_json(replace(encoder.blocks[0], most=most).to_json())
