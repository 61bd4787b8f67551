"""Texts that are codes, such as molecules and sequences, are read by characters, and their case is kept."""

import random
import uuid

import polars as pl
import pytest

import lamina
from lamina.data.columns.terms import TermsBlock
from lamina.data.columns.tokens import TextBlock, words_of
from lamina.data.encoding import Encoding
from lamina.data.schema import Schema
from lamina.errors import LaminaWarning

BY_CHARACTERS = Encoding(tokens="characters")
SMILES = [f"{'C' * i}(=O)N{ring}" for i in range(1, 31) for ring in ("c1ccccc1", "C1CCCCC1")]  # aromatic or not: case only


def inferred(values, more=False, **options):
    table = pl.DataFrame({"x": values, "y": [0.5 * i for i in range(len(values))]})
    table = table.with_columns(z=pl.col("y") ** 2) if more else table
    return Schema.infer(table, target="y", **options)["x"]


def test_case_and_every_character_are_kept():
    block = TextBlock.fit(pl.Series("code", ["Cl c", "cC\n1"]), BY_CHARACTERS, "text")
    assert set(words_of(block)) == {"", "[unknown]", "C", "c", "l", " ", "\n", "1"}
    assert block.tokens("lC c") == ["l", "C", " ", "c"]
    assert block.tokens("²x") == ["[unknown]", "[unknown]", "", ""]  # not 2, as words would be


def test_terms_of_characters_are_up_to_four_neighbours():
    block = TermsBlock.fit(pl.Series("code", ["abAbc"]), BY_CHARACTERS, "text")
    assert sorted(block.terms) == sorted("a b A c ab bA Ab bc abA bAb Abc abAb bAbc".split())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (SMILES, "molecules (SMILES), read by characters"),
        (["".join(random.Random(i).choices("ACGT", k=20 + i)) for i in range(40)], "sequences of letters"),
        (["".join(random.Random(i).choices("ACDEFGHIKLMNPQRSTVWY", k=60)) for i in range(40)], "sequences of letters"),
    ],
)
def test_codes_are_texts_by_themselves(values, reason):
    column = inferred(values)
    assert column.kind == "text"
    assert column.reason.startswith(reason)
    assert column.details["tokens"] == "characters"


@pytest.mark.parametrize(
    "values",
    [
        [uuid.UUID(int=random.Random(i).getrandbits(128)).hex for i in range(40)],
        [f"CN-{i:05}" for i in range(40)],
        [f"INV(2024)-{i}" for i in range(40)],
        [f"person{i}@example.org" for i in range(40)],
        [f"BC{i}" for i in range(40)],
    ],
)
def test_identifiers_stay_identifiers(values):
    assert inferred(values, more=True).kind == "id"


def test_a_given_text_of_single_words_is_read_by_characters_and_says_so():
    names = [f"{first}{last}" for first in ("Ab", "Be", "Ci", "Du") for last in ("rams", "cker", "nelli", "bois", "nning")]
    assert inferred(names, kinds={"x": "text"}).reason == (
        "given; 1 word on average, read by characters, as there are no spaces"
    )
    assert "tokens" not in inferred([f"{name} and son" for name in names], kinds={"x": "text"}).details
    assert "tokens" not in inferred(["good", "bad"] * 20, kinds={"x": "text"}).details  # the same words again
    assert "tokens" not in inferred([f"{chr(0x4E00 + i)}好" for i in range(20)], kinds={"x": "text"}).details


def test_names_are_read_where_there_is_nothing_else():
    names = [f"{chr(97 + i)}{chr(97 + j)}son" for i in range(6) for j in range(6)]
    table = pl.DataFrame({"name": names, "y": [0.5 * i for i in range(36)]})
    column = lamina.fit(table, "y", family="linear", seed=0).model_.schema["name"]
    assert (column.kind, column.details["tokens"]) == ("text", "characters")


@pytest.mark.parametrize("family", ["linear", "boosting", "convolutional"])
def test_case_decides_a_prediction(family):
    draw = random.Random(0)
    texts = ["".join(draw.choices("CNO", k=6)) + "(=O)" + ring for _ in range(150) for ring in ("c1ccccc1", "C1CCCCC1")]
    table = {"smiles": texts, "ring": ["aromatic", "saturated"] * 150}
    options = {"recipe": lamina.Recipe(epochs=6)} if family == "convolutional" else {}
    model = lamina.fit(table, "ring", family=family, seed=0, **options)
    assert list(model.predict({"smiles": ["CCCN(=O)c1ccccc1", "CCCN(=O)C1CCCCC1"]})) == ["aromatic", "saturated"]


def test_words_can_be_asked_for_and_unknown_characters_are_noted(tmp_path):
    table = {"smiles": SMILES, "y": [float(len(text)) for text in SMILES]}
    words = lamina.fit(table, "y", family=lamina.Linear(tokens="words"), seed=0)
    assert "nc1ccccc1" in words.model_.encoder.blocks[0].terms.terms
    model = lamina.fit(table, "y", family="linear", seed=0)
    model.save(tmp_path / "m.lamina")
    with pytest.warns(LaminaWarning, match="smiles: 1 text has a character that is not in the vocabulary"):
        lamina.load(tmp_path / "m.lamina").predict({"smiles": ["CCBr", "CC"]})
