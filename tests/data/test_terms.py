"""Texts become TF-IDF vectors: the closed form, scikit-learn's numbers, and the same bits from a file and in any process."""

import json
import math
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from lamina.data.columns.terms import TermsBlock
from lamina.data.columns.tokens import TextBlock
from lamina.data.encode import Encoder
from lamina.data.encoding import Encoding, Input
from lamina.data.schema import Column, Schema
from lamina.errors import ModelFileError

REVIEWS = ["A good film, good actors.", "Not a good film!", None, "Don’t go. It's 3.14 hours long", "", "good"]


def column(texts):
    return pl.Series("review", texts, dtype=pl.String)


def fit(texts, **options):
    return TermsBlock.fit(column(texts), Encoding(plain=True, **options), "text")


def weights(block, texts):
    return block.transform(column(texts))["text"]


def assert_same_bits(one, other):
    assert one.shape == other.shape
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def test_the_weights_have_a_closed_form():
    block = fit(["a a b", "b", "c"])
    assert block.terms == ("b", "a", "a a", "a b", "c")
    assert block.inputs == {"text": Input((5,), ("review", *block.terms), kind="terms")}
    assert block.extent == "TF-IDF weights of 5 terms"
    often, rare = 1 + math.log(4 / 3), 1 + math.log(4 / 2)
    assert block.idf == (often, rare, rare, rare, rare)
    rows = weights(block, ["a a b", "B", "unseen", None, ""])
    assert isinstance(rows, sparse.csr_matrix)
    assert rows.dtype == np.float32
    row = np.array([often, (1 + math.log(2)) * rare, rare, rare, 0])
    np.testing.assert_allclose(rows.toarray()[0], row / np.linalg.norm(row), rtol=1e-6)
    assert rows.toarray()[1:].tolist() == [[1, 0, 0, 0, 0], [0] * 5, [0] * 5, [0] * 5]


def test_the_numbers_are_scikit_learns():
    words = TextBlock.fit(column(REVIEWS), Encoding(length=99), "text")

    def analyzer(text):
        tokens = [token for token in words.tokens(text) if token]
        return [*tokens, *(f"{first} {second}" for first, second in pairwise(tokens))]

    texts = [text or "" for text in REVIEWS]
    block = fit([text for text in REVIEWS if text])
    peer = TfidfVectorizer(analyzer=analyzer, sublinear_tf=True).fit([text for text in texts if text])
    order = [peer.vocabulary_[term] for term in block.terms]
    assert sorted(order) == list(range(len(peer.vocabulary_)))
    np.testing.assert_allclose(block.idf, peer.idf_[order], rtol=1e-15)
    np.testing.assert_allclose(weights(block, texts).toarray(), peer.transform(texts).toarray()[:, order], rtol=1e-6)


def test_terms_are_cut_as_words_are_for_networks():
    assert fit(["Don’t pay 3.14"]).terms == ("3.14", "do", "do n't", "n't", "n't pay", "pay", "pay 3.14")
    assert fit(["电影"]).terms == ("影", "电", "电 影")
    assert fit(["हिन्दी ﬁlm"]).terms == ("film", "हिन्दी", "हिन्दी film")


def test_the_most_widespread_terms_are_kept_not_the_most_frequent():
    assert fit(["z z z z", "b a", "a b", "b"], vocabulary=2).terms == ("b", "a")


def test_terms_of_a_single_text_count_only_where_there_are_few_texts():
    texts = ["common", "", None] * 66 + ["common"] * 132
    assert "rare" in fit([*texts, "common rare"]).terms  # 199 that have a word
    assert fit([*texts, "common", "common rare rare"]).terms == ("common",)


def test_the_order_of_rows_changes_nothing():
    draw = random.Random(0)
    texts = [" ".join(draw.choices("abcdefghij", k=8)) for _ in range(250)]
    first = fit(texts, vocabulary=60)
    for seed in range(3):
        assert fit(random.Random(seed).sample(texts, len(texts)), vocabulary=60) == first


def test_notes_and_remarks():
    block = fit(["A good film.", "", None])
    assert block.notes == ("review: 2 of 3 texts are empty",)
    assert block.remarks(column(["a film", "Quel navet.", "", None, "...", "xyz"])) == [
        "review: 2 texts have no word of the vocabulary"
    ]
    assert block.remarks(column(["qwerty"])) == ["review: 1 text has no word of the vocabulary"]
    assert block.remarks(column(["a good film", None, "?!"])) == []
    assert block.remarks(column([])) == []


@pytest.mark.parametrize("texts", [[], [None, None], ["", " \n"]])
def test_texts_without_a_word_become_a_column_of_zeros(texts):
    block = fit(texts)
    assert block.terms == ("[unknown]",)
    assert block.notes[-1] == "review: no text has a word"
    assert block.extent == "TF-IDF weights of 1 term"
    rows = weights(block, ["[unknown] unknown", None])
    assert (rows.shape, rows.nnz) == ((2, 1), 0)
    assert weights(block, []).shape == (0, 1)


def test_a_block_that_was_saved_gives_the_same_bits_in_a_fresh_process():
    block = fit([*REVIEWS, *(f"film {i} and {i % 7}" for i in range(90))])
    stored = json.dumps(block.to_json(), allow_nan=False)
    loaded = TermsBlock.from_json(json.loads(stored))
    assert loaded == block
    texts = [*REVIEWS, "An unseen, gööd film 3 3 3 and 5."]
    assert_same_bits(weights(loaded, texts), weights(block, texts))
    assert_same_bits(weights(pickle.loads(pickle.dumps(block)), texts), weights(block, texts))
    script = """
import json, sys
import polars as pl
from lamina.data.columns.terms import TermsBlock
assert not {"sklearn", "tokenizers"} & set(sys.modules)
stored, texts = json.load(sys.stdin)
rows = TermsBlock.from_json(json.loads(stored)).transform(pl.Series("review", texts, dtype=pl.String))["text"]
print(json.dumps([rows.data.tobytes().hex(), rows.indices.tolist(), rows.indptr.tolist()]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps([stored, texts]), capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    rows = weights(block, texts)
    assert json.loads(done.stdout) == [rows.data.tobytes().hex(), rows.indices.tolist(), rows.indptr.tolist()]


def test_it_goes_into_forked_workers():
    script = """
import os, sys
import polars as pl
from lamina.data.encoding import Encoding
from lamina.data.columns.terms import TermsBlock
texts = pl.Series("review", ["A good film. Long."] * 5000)
texts.str.head(3)  # polars' threads are up, and will be missing in the child
block = TermsBlock.fit(texts, Encoding(), "text")
before = block.transform(texts)["text"]
child = os.fork()
if child == 0:
    again = TermsBlock.fit(texts, Encoding(), "text")
    again.remarks(texts)
    os._exit(int(again != block or (again.transform(texts)["text"] != before).nnz > 0))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    quiet = version("tokenizers") >= "0.23"  # earlier ones print a notice of their own in a forked process
    assert not done.stderr or (not quiet and done.stderr.startswith("huggingface/tokenizers: "))


def test_damaged_blocks_are_refused():
    block = fit(REVIEWS)
    for damaged in (replace(block, tokenizer="{}"), replace(block, idf=block.idf[1:])):
        with pytest.raises(ModelFileError, match="of column 'review' cannot be read .*; fit again"):
            TermsBlock.from_json(damaged.to_json())


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=30) | st.none(), max_size=5))
def test_any_text_can_be_learnt_and_read(texts):
    block = fit(texts, vocabulary=50)
    rows = weights(block, texts)
    assert rows.shape == (len(texts), len(block.terms))
    assert len(block.terms) <= 50
    lengths = np.sqrt(rows.power(2).sum(axis=1)).A1
    assert ((np.abs(lengths - 1) < 1e-6) | (lengths == 0)).all()
    assert TermsBlock.from_json(json.loads(json.dumps(block.to_json()))) == block
    for row, text in enumerate(texts):
        assert_same_bits(weights(block, [text]), rows[row])
    block.remarks(column(texts))


def test_the_encoder_takes_it_where_plain_rows_are_asked_for():
    table = pl.DataFrame({"review": column(REVIEWS), "age": [1.0] * 6})
    schema = Schema((Column("review", "text", "feature", "", {}), Column("age", "number", "feature", "", {})))
    assert isinstance(Encoder.fit(table, schema).blocks[0], TextBlock)
    encoder = Encoder.fit(table, schema, Encoding(plain=True))
    assert isinstance(encoder.blocks[0], TermsBlock)
    assert encoder.notes == ("review: 2 of 6 texts are empty",)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    assert {name: block.kind for name, block in again.inputs.items()} == {"numbers": "numbers", "text": "terms"}
    assert_same_bits(again.transform(table)["text"], encoder.transform(table)["text"])
    assert encoder.unseen(pl.DataFrame({"review": ["qwerty"], "age": [1.0]})) == [
        "review: 1 text has no word of the vocabulary"
    ]
