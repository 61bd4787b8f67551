"""Texts become codes: closed forms, a plain reading beside the fast one, and any text that Unicode allows."""

import json
import pickle
import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.data.columns.column import Values
from lamina.data.columns.text import Text
from lamina.data.columns.tokens import TextBlock, words_of
from lamina.data.encoding import Encoding, Input
from lamina.data.schema import Column
from lamina.errors import ModelFileError, OptionError, SchemaError

REVIEWS = [
    "A good film, good actors.",
    "Not a good film!",
    "Don't go. It's long,\nand the ending is at 3.14 hours",
    "good",
]
KIND = Text()


def guess(column):
    return KIND.guess(Values(column))


def coerce(column):
    return KIND.coerce(column)


def check(column, values):
    return KIND.check(column, values, [])


def fit(texts, **options):
    return TextBlock.fit(pl.Series("review", texts, dtype=pl.String), Encoding(**options), "text")


def codes(block, texts):
    return block.transform(pl.Series("review", texts, dtype=pl.String))["text"]


def read(block, text):
    return [token for token in block.tokens(text) if token]


# Guessing


def test_free_text_is_guessed_with_its_length():
    plots = pl.Series("plot", [f"a stranger comes to town number {i}" for i in range(20)] + [None] * 5)
    found = guess(plots)
    assert found is not None
    assert (found.kind, found.reason) == ("text", "free text of 7 words on average")
    assert found.details == {"dtype": "String", "missing": 0.2, "words": 7.0}


@pytest.mark.parametrize(
    "values",
    [
        ["New York", "Rome"] * 20,  # levels
        [f"{i} Main street" for i in range(50)],  # three words
        ["one and the same long sentence"] * 50,  # does not differ
        ["four texts are too", "few to tell what", "it is, so they", "stay as they are"],
        [f"id-{i}" for i in range(50)],
        [None] * 9,
    ],
)
def test_short_repeated_or_few_texts_are_no_free_text(values):
    assert guess(pl.Series("x", values, dtype=pl.String)) is None


def test_other_dtypes_are_no_free_text():
    assert guess(pl.Series("x", range(50))) is None
    assert guess(pl.Series("x", [b"a b c d e"] * 50)) is None


def test_scripts_without_spaces_are_free_text_too():
    found = guess(pl.Series("x", [f"这部电影非常好看我很喜欢{chr(0x4E00 + i)}" for i in range(20)]))
    assert found is not None
    assert found.details["words"] == 7.5  # a run without spaces, and 13 signs at two a word


def test_the_order_of_rows_does_not_change_the_guess():
    texts = ["word " * (4 + i % 50) + str(i) for i in range(5000)]
    shuffled = random.Random(0).sample(texts, len(texts))
    assert guess(pl.Series("x", texts)) == guess(pl.Series("x", shuffled))


def test_a_person_may_call_anything_plain_text():
    found = coerce(pl.Series("x", ["short", "texts", None]))
    assert found is not None
    assert (found.kind, found.reason) == ("text", "given; 1 word on average")
    assert coerce(pl.Series("x", [3.0, 4.0])).details["dtype"] == "Float64"
    assert coerce(pl.Series("x", [[1], [2]])) is None
    assert coerce(pl.Series("x", [None, None], dtype=pl.String)) is None


def test_check_brings_to_string_and_may_be_repeated():
    column = Column("review", "text", "feature", "so", {})
    values = check(column, pl.Series("review", ["a", None], dtype=pl.Categorical))
    assert values.dtype == pl.String
    assert check(column, values) is values
    assert check(column, pl.Series("review", [3.0, 4.5])).to_list() == ["3", "4.5"]
    with pytest.raises(SchemaError, match=r"column 'review' holds List\(Int64\), expected text as in training; convert it"):
        check(column, pl.Series("review", [[1], [2]]))


# Words


def test_codes_are_by_frequency_then_by_the_alphabet():
    block = fit(["b a c c", "c a b d"], vocabulary=3)
    assert words_of(block) == ("", "[unknown]", "c", "a", "b")
    assert codes(block, ["c a b d", "C", None, ""]).tolist() == [[2, 3, 4, 1], [2, 0, 0, 0], [0] * 4, [0] * 4]
    assert codes(block, ["c"]).dtype == np.int32
    assert block.inputs == {"text": Input((4,), ("review",), (5,), "text")}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Good, really GOOD!!", ["good", ",", "really", "good", "!", "!"]),
        ("I don’t, can't and won't", ["i", "do", "n't", ",", "ca", "n't", "and", "wo", "n't"]),
        ("it's we're 'quoted'", ["it", "'s", "we", "'re", "'", "quoted", "'"]),
        ("3.14 of 1,234.5 in 2nd at 10.", ["3.14", "of", "1,234.5", "in", "2nd", "at", "10", "."]),
        ("ﬁlm １２", ["film", "12"]),
        ("l'été à Zürich", ["l", "'", "été", "à", "zürich"]),
        ("שלום, عالم", ["שלום", ",", "عالم"]),
        ("हिन्दी", ["हिन्दी"]),
        ("电影很好 film", ["电", "影", "很", "好", "film"]),
        ("a\x00b\u200bc", ["a", "b", "c"]),
        ("😀😀❤️", ["😀", "😀", "❤️"]),
        ("[unknown] well-made a_b", ["[", "unknown", "]", "well", "-", "made", "a_b"]),
    ],
)
def test_what_a_word_is(text, tokens):
    assert read(fit([text]), text) == tokens


def test_a_text_cannot_speak_of_padding_or_of_the_unknown():
    block = fit(["a b"])
    assert codes(block, ["[unknown]"]).tolist() == [[1, 1]]  # bracket, word: cut at the length
    assert 0 not in codes(fit(["a b c"]), ["[PAD] <pad>"])


def test_words_that_occur_once_are_unknown_where_there_are_many_texts():
    texts = ["common"] * 198 + ["common rare"]
    assert "rare" in words_of(fit(texts))
    assert words_of(fit([*texts, "common seldom"])) == ("", "[unknown]", "common")


@pytest.mark.parametrize("tokens", ["words", "pieces", "characters"])
def test_the_order_of_rows_changes_nothing(tokens):
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=5)) for _ in range(300)]  # each as frequent as the others, about
    texts = [" ".join(draw.choices(words, k=8)) for _ in range(250)]
    first = fit(texts, tokens=tokens, vocabulary=350)
    for seed in range(5):
        assert fit(random.Random(seed).sample(texts, len(texts)), tokens=tokens, vocabulary=350) == first


@pytest.mark.parametrize("tokens", ["words", "pieces", "characters"])
@pytest.mark.parametrize("sentence", [0, 4])
def test_a_block_that_was_saved_gives_the_same_codes(tokens, sentence):
    block = fit([*REVIEWS, None], tokens=tokens, sentence=sentence, chunk=3)
    loaded = TextBlock.from_json(json.loads(json.dumps(block.to_json())))
    assert loaded == block
    assert loaded.inputs == block.inputs
    assert words_of(loaded) == words_of(block)
    unseen = [*REVIEWS, "An unseen, gööd text.", None, ""]
    np.testing.assert_array_equal(codes(loaded, unseen), codes(block, unseen))
    np.testing.assert_array_equal(codes(pickle.loads(pickle.dumps(block)), unseen), codes(block, unseen))


def test_a_damaged_tokenizer_is_refused():
    with pytest.raises(ModelFileError, match="the tokenizer of column 'review' cannot be read .*; fit again"):
        TextBlock.from_json(replace(fit(REVIEWS), tokenizer="{}").to_json())


def test_unknown_tokens_option_is_refused():
    with pytest.raises(OptionError, match="tokens is 'letters', expected 'words', 'pieces'"):
        fit(REVIEWS, tokens="letters")


# Pieces


def test_pieces_put_together_are_the_text_in_its_one_form():
    block = fit(REVIEWS * 5, tokens="pieces", vocabulary=300)
    assert "".join(block.tokens("A  good\nfilm")) == " a good film"
    assert " good" in block.tokens("Good")
    np.testing.assert_array_equal(codes(block, ["a good"]), codes(block, [" a  good "]))


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_piece_is_unknown(text):
    assert not (codes(PIECES, [text]) == 1).any()


# Length


def test_the_length_follows_all_but_the_longest_hundredth_and_says_what_is_cut():
    texts = ["a " * (1 + i % 10) for i in range(199)] + ["a " * 400]
    block = fit(texts)
    assert block.length == 10
    assert block.notes == ("review: 1 of 200 texts are longer than 10 tokens and truncated",)
    assert (codes(block, texts) > 0).sum(1).tolist() == [1 + i % 10 for i in range(199)] + [10]


@pytest.mark.parametrize(
    ("options", "length"),
    [({}, 512), ({"chunk": 100}, 600), ({"length": 7}, 7), ({"length": 7, "chunk": 4}, 8)],
)
def test_the_length_has_bounds_and_is_a_multiple_of_the_chunk(options, length):
    block = fit(["a " * 1000] * 3, **options)
    assert block.length == length
    assert codes(block, ["a " * 1000, "a"]).sum(1).tolist() == [2 * length, 2]
    assert len(block.notes) == 1


def test_with_sentences_the_length_is_a_multiple_of_both_and_may_be_longer():
    assert fit(["a. " * 40], sentence=4, chunk=6).length == 168  # 40 places of 4, up to a multiple of 12
    assert fit(["a\n" * 9000], sentence=4).length == 16_384


def test_texts_without_a_token_are_no_error():
    block = fit(["", None, " "], chunk=3)
    assert block.length == 3
    assert block.notes == ("review: 3 of 3 texts are empty", "review: no text has a word")
    assert codes(block, ["a b", None]).tolist() == [[1, 1, 0], [0, 0, 0]]
    assert codes(fit([]), []).shape == (0, 1)


# Sentences


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A b. C", ["a", "b", ".", "", "c", "", "", ""]),
        ("A b.C 1.5", ["a", "b", ".", "c", "1.5", "", "", ""]),  # no space behind it: no end
        ('"A!" B', ['"', "a", "!", '"', "b", "", "", ""]),
        ("A b\n\nC", ["a", "b", "", "", "c", "", "", ""]),
        ("a b c d e", ["a", "b", "c", "d", "e", "", "", ""]),  # goes on in the next place
        ("a b c d\ne", ["a", "b", "c", "d", "e", "", "", ""]),
        ("a!? \t b.", ["a", "!", "?", "", "b", ".", "", ""]),
        ("a。b", ["a", "。", "", "", "b", "", "", ""]),
        ("\n\n. \na", [".", "", "", "", "a", "", "", ""]),
    ],
)
def test_each_sentence_begins_at_its_place(text, tokens):
    assert fit([text], sentence=4, length=8).tokens(text) == tokens


def plain_reading(block, text):
    """The tokens of a text one after the other, each sentence from the next free multiple on."""
    row = []
    ends = r"""(?:[.!?]["'’”)\]]*)(?=\s)|[。！？]|(?=[\n\u2028\u2029])"""
    begins = [0, *(end.end() for end in re.finditer(ends, text)), len(text)]
    for begin, end in pairwise(begins) if block.sentence else [(0, len(text))]:
        row += block._tokenizer.encode(text[begin:end]).ids
        row += [0] * (-len(row) % (block.sentence or 1))
    row = row[: block.length]
    return row + [0] * (block.length - len(row))


SIGNS = st.sampled_from("ab.!?)\n 。") | st.characters(codec="utf-8", exclude_categories=["Cc"])


@pytest.mark.parametrize("name", ["RUNNING", "PARTED"])
@given(texts=st.lists(st.text(SIGNS, max_size=40) | st.none(), max_size=8))
def test_places_are_as_a_plain_reading_finds_them(name, texts):
    block = globals()[name]
    assert codes(block, texts).tolist() == [plain_reading(block, text or "") for text in texts]


def test_rows_do_not_depend_on_their_neighbours(monkeypatch):
    texts = [f"{'a ' * (i % 7)}good. Film {i}!\n" * (i % 3) for i in range(50)]
    for block in (RUNNING, PARTED):
        whole = codes(block, texts)
        np.testing.assert_array_equal(whole, np.concatenate([codes(block, [text]) for text in texts]))
        monkeypatch.setattr("lamina.data.columns.tokens._TEXTS", 7)
        np.testing.assert_array_equal(whole, codes(block, texts))
        monkeypatch.undo()


# Any text


@pytest.mark.parametrize("tokens", ["words", "pieces", "characters"])
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=30) | st.none(), max_size=5))
def test_any_text_can_be_learnt_and_read(tokens, texts):
    block = fit(texts, tokens=tokens, sentence=2, chunk=3, vocabulary=50)
    found = codes(block, texts)
    assert found.shape == (len(texts), block.length)
    assert found.max(initial=0) < block.inputs["text"].cardinalities[0]
    assert block.length % 6 == 0
    assert not (found == 1).any() or len(words_of(block)) == 52  # unknown in training only beyond the vocabulary
    assert TextBlock.from_json(json.loads(json.dumps(block.to_json()))) == block
    for row, text in enumerate(texts):
        assert block.tokens(text or "") == [words_of(block)[code] for code in found[row]]
    block.remarks(pl.Series("review", texts, dtype=pl.String))


def test_half_a_surrogate_pair_in_one_text_is_read_as_a_question_mark():
    assert RUNNING.tokens("good \ud83d film") == RUNNING.tokens("good ? film")


def test_of_a_huge_text_only_the_part_that_is_read_is_tokenised():
    huge = pl.Series("review", ["good film. " * 200_000] * 20)
    start = time.process_time()
    found = RUNNING.transform(huge)["text"]
    assert time.process_time() - start < 2
    assert (found > 1).all()


def test_remarks_name_texts_of_unseen_words_and_texts_that_are_cut():
    block = fit(["A good film.", "A film"])
    remarks = block.remarks(pl.Series("review", ["a film", "Quel navet.", "", None, "...", "xyz", "good " * 9]))
    assert remarks == [
        "review: 2 texts have no word of the vocabulary",
        "review: 1 text is longer than 4 tokens and truncated",
    ]
    assert block.remarks(pl.Series("review", ["qwerty"])) == ["review: 1 text has no word of the vocabulary"]
    assert block.remarks(pl.Series("review", ["a good film", None])) == []


def test_it_is_imported_late_and_goes_into_forked_workers_quietly():
    script = """
import os, sys
import polars as pl
from lamina.data.encoding import Encoding
from lamina.data.columns.tokens import TextBlock
assert "tokenizers" not in sys.modules
texts = pl.Series("review", ["A good film. Long."] * 5000)
texts.str.head(3)  # polars' threads are up, and will be missing in the child
block = TextBlock.fit(texts, Encoding(sentence=2), "text")
before = block.transform(texts)["text"]
child = os.fork()
if child == 0:
    again = TextBlock.fit(texts, Encoding(sentence=2), "text")
    again.remarks(texts)
    os._exit(int(again != block or (again.transform(texts)["text"] != before).any()))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    quiet = version("tokenizers") >= "0.23"  # earlier ones print a notice of their own in a forked process
    assert not done.stderr or (not quiet and done.stderr.startswith("huggingface/tokenizers: "))


PIECES = fit(REVIEWS, tokens="pieces")
RUNNING = fit(REVIEWS, length=6)
PARTED = fit(REVIEWS, sentence=3, length=12)
