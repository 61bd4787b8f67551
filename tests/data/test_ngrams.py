"""Texts become n-grams of characters beside terms: scikit-learn's numbers, and the same bits alone and from a file."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

import lamina
from lamina.data.columns.ngrams import NgramsBlock
from lamina.data.columns.terms import TermsBlock
from lamina.data.encode import Encoder
from lamina.data.encoding import Encoding
from lamina.data.schema import Schema
from lamina.errors import ModelFileError
from lamina.families import Linear

TEXTS = ["A good film with good actors and a lovely ending", "not a good film it is far too long", None, "", "lovelier actors"]


def column(texts):
    return pl.Series("review", texts, dtype=pl.String)


def fit(texts, ngrams=1_000, **options):
    return NgramsBlock.fit(column(texts), Encoding(plain=True, ngrams=ngrams, **options), "text")


def test_the_numbers_are_scikit_learns():
    block = fit(TEXTS)
    rows = block.transform(column(TEXTS))
    texts = [text or "" for text in TEXTS]
    peer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit([text for text in texts if text])
    order = [peer.vocabulary_[ngram] for ngram in block.ngrams]
    assert sorted(order) == list(range(len(peer.vocabulary_)))
    np.testing.assert_allclose(block.idf, peer.idf_[order], rtol=1e-6)
    ours, theirs = rows["text_ngrams"].toarray(), peer.transform(texts).toarray()[:, order]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    terms = TermsBlock.fit(column(TEXTS), Encoding(plain=True), "text").transform(column(TEXTS))["text"]
    np.testing.assert_array_equal(rows["text"].toarray(), terms.toarray())


def test_misspelt_words_share_ngrams_with_the_training_texts():
    rows = fit(TEXTS).transform(column(["lovley", "xyz", "Lovely"]))
    assert rows["text"].getnnz(axis=1).tolist() == [0, 0, 1]
    assert rows["text_ngrams"].getnnz(axis=1).tolist() == [3, 0, 15]  # " lo", "lov", " lov"


def test_long_corpora_and_characters_have_none():
    size = sum(len(text or "") for text in TEXTS)
    assert fit(TEXTS, ngrams=size).ngrams
    for block in (fit(TEXTS, ngrams=size - 1), fit(TEXTS, tokens="characters"), fit(["", None]), fit([])):
        assert block.ngrams == ()
        assert list(block.inputs) == list(block.transform(column(["a good film"]))) == ["text"]
        assert "n-gram" not in block.extent
    assert fit(TEXTS).extent.endswith(" n-grams of characters")


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=30) | st.none(), max_size=5))
def test_any_text_can_be_learnt_and_a_row_is_as_if_alone(texts):
    block = fit(texts, vocabulary=50)
    assert NgramsBlock.from_json(json.loads(json.dumps(block.to_json()))) == block
    rows = block.transform(column(texts))
    for name, input_ in block.inputs.items():
        assert rows[name].shape == (len(texts), *input_.shape)
        assert rows[name].dtype == np.float32
        for place, text in enumerate(texts):
            alone = block.transform(column([text]))[name]
            for part in ("data", "indices", "indptr"):
                np.testing.assert_array_equal(getattr(alone, part), getattr(rows[name][place], part))


def test_damaged_blocks_are_refused():
    block = fit(TEXTS)
    for damaged in (replace(block, idf=block.idf[1:]), replace(block, ngrams=block.ngrams[1:] * 2)):
        with pytest.raises(ModelFileError, match="the n-grams of column 'review' cannot be read .*; fit again"):
            NgramsBlock.from_json(damaged.to_json())


def test_the_linear_family_takes_them_and_a_file_gives_the_same_bits(tmp_path):
    good, bad = "a wonderful film, warmly recommended {}", "a dreadful film, boring to the end {}"
    rows = {"review": [(good, bad)[i % 2].format(i) for i in range(80)], "liked": ["yes", "no"] * 40}
    model = lamina.fit(rows, "liked", family="linear", monitor=None, seed=0)
    assert {*model.model_.encoder.inputs} == {"text", "text_ngrams"}
    new = {"review": ["wonderfully warm recommendation", "dreadfully bored", None]}
    assert list(model.predict(new))[:2] == ["yes", "no"]
    model.save(tmp_path / "a.lamina")
    np.testing.assert_array_equal(lamina.load(tmp_path / "a.lamina").predict_proba(new), model.predict_proba(new))
    assert model.feature_importances_.sum() == pytest.approx(1)
    table = pl.DataFrame(rows)
    schema = Schema.infer(table, target="liked")
    for option, blocks in ((True, {"text", "text_ngrams"}), (False, {"text"})):
        assert {*Encoder.fit(table, schema, Linear(character_ngrams=option).encoding()).inputs} == blocks
