"""Word vectors from files, and embeddings initialised from them."""

import numpy as np
import polars as pl
import pytest
import torch

from lamina.data.columns.tokens import words_of
from lamina.data.encode import Encoder
from lamina.data.schema import Schema
from lamina.errors import DataError, OptionError, ReadError
from lamina.families.branches import BranchFamily
from lamina.families.vectors import WordVectors
from lamina.graph import Dense, Graph, Net, Plan
from lamina.graph.layers.sequence import StepPool

GLOVE = "the 0.25 -1 3e-1\n. . . 7 8 9\nParis 1 2 3\nparis 4 5 6\nBerlin 0 0 1\nberlin\xa0ist 0 0 2\n"
EXPECTED = {"the": [0.25, -1, 0.3], "paris": [4, 5, 6], "berlin": [0, 0, 1]}


def written(tmp_path, content, name="vectors.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def archive(tmp_path, **arrays):
    np.savez(tmp_path / "vectors.npz", **arrays)
    return str(tmp_path / "vectors.npz")


@pytest.mark.parametrize("head", ["", "6 3\n"])
def test_text_files_with_and_without_a_first_line(tmp_path, head):
    vectors = WordVectors(written(tmp_path, head + GLOVE))
    found = vectors.find(["the", "paris", "berlin", "nowhere", "."])
    assert vectors.width == 3
    assert set(found) == set(EXPECTED)
    for word, expected in EXPECTED.items():
        np.testing.assert_array_equal(found[word], np.float32(expected))


def test_lines_may_end_as_on_windows_or_with_a_space(tmp_path):
    found = WordVectors(written(tmp_path, "2 2\r\na 1 2 \r\nb 3 4\r\n")).find(["a", "b"])
    assert {word: vector.tolist() for word, vector in found.items()} == {"a": [1, 2], "b": [3, 4]}


def test_archives(tmp_path):
    words, numbers = np.array(["Paris", "the", "paris"]), np.arange(6).reshape(3, 2) / 2
    vectors = WordVectors(archive(tmp_path, words=words, vectors=numbers))
    assert vectors.width == 2
    assert {word: vector.tolist() for word, vector in vectors.find(["paris", "x", "the"]).items()} == {
        "paris": [2, 2.5],
        "the": [1, 1.5],
    }
    assert vectors.find(["the"])["the"].dtype == np.float32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 1 2\nb 1\n", "is ragged: line 2 has 1 numbers, expected 2"),
        ("a 1 2\nb 1 2\nb 1 2 3\n", "is ragged: line 3 has 3 numbers, expected 2"),
        ("a 1 2\nb 1 x\n", "line 2: the vector of 'b' is not numeric"),
        ("a 1 2\nb 1 nan\n", "line 2: the vector of 'b' is not numeric"),
        ("", "has no word vectors: line 1 is ''"),
        ("<html> <body>\n", "has no word vectors: line 1 is '<html> <body>', expected a word and its numbers"),
        (b"\x80\x04\xff 1 2\n", "is not UTF-8 text"),
    ],
)
def test_files_of_another_format_are_refused(tmp_path, content, message):
    vectors = WordVectors(written(tmp_path, content))
    with pytest.raises(ReadError, match=message):
        print(vectors.width, vectors.find(["a", "b"]))


def test_archives_of_another_format_are_refused(tmp_path):
    objects = np.array(["a", None], dtype=object)
    for arrays, message in [
        ({"words": np.array(["a"])}, "cannot be read .*vectors.*, expected arrays 'words' of text"),
        ({"words": objects, "vectors": np.ones((2, 2))}, "cannot be read .*, expected arrays"),
        ({"words": np.array(["a"]), "vectors": np.ones((2, 2))}, r"has words \(1,\) of <U1 and vectors \(2, 2\), expected"),
        ({"words": np.array([1]), "vectors": np.ones((1, 2))}, r"has words \(1,\) of int64"),
    ]:
        with pytest.raises(ReadError, match=message):
            _ = WordVectors(archive(tmp_path, **arrays)).width
    with pytest.raises(ReadError, match="cannot be read"):
        _ = WordVectors(written(tmp_path, "no archive", "broken.npz")).width


def test_no_such_file_is_refused(tmp_path):
    with pytest.raises(OptionError, match="there is no file of word vectors .*nothing.txt; give the path"):
        WordVectors(str(tmp_path / "nothing.txt"))


class Means(BranchFamily):
    """The mean token embedding."""

    reads = ("text",)

    def branch(self, graph: Graph, name, block):
        steps, mask = self.steps(graph, name, block)
        graph.layer(f"{name}_mean", StepPool(), after=steps, mask=mask)
        return f"{name}_mean"


TABLE = pl.DataFrame(
    {
        "review": ["the Paris we love zzz", "the berlin zzz", "love the sea in paris", "sea we love love"] * 5,
        "other": ["a river ran through it", "a city of a million", "the quiet of a village", "paris by night again"] * 5,
    }
)


def initialised(family, table=TABLE):
    schema = Schema.infer(table, target=[], kinds=dict.fromkeys(table.columns, "text"), roles={})
    encoder = Encoder.fit(table, schema, family.encoding())
    net = Net(Plan(family.graph(encoder.inputs, 2)), seed=0)
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    return encoder, net, fresh, family.initialise(net, encoder)


@pytest.mark.parametrize("wide", [False, True])
def test_words_with_vectors_are_initialised_from_them(tmp_path, wide):
    path = written(tmp_path, GLOVE)
    encoder, net, fresh, notes = initialised(Means(word_vectors=path, wide=wide).check())
    assert [text.block for text in encoder.by_kind("text")] == ["text", "text2"]
    for text in encoder.by_kind("text"):
        weight = net.get_parameter(f"{text.block}_embedding.weight")
        assert weight.shape[1] == 3  # the file's, not the option's 64
        assert weight.requires_grad
        for code, word in enumerate(words_of(text)):
            own = fresh[f"{text.block}_embedding.weight"][code]
            expected = own.new_tensor(EXPECTED[word]) if word in EXPECTED else own
            torch.testing.assert_close(weight[code].detach(), expected, rtol=0, atol=0)
        assert (weight[0] == 0).all()
    total = len(words_of(encoder.by_kind("text")[0])) - 2
    assert notes[0] == f"review: 3 of {total} words are initialised from {path}"
    assert notes[1].startswith("other: 2 of ")
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, fresh[name])}
    assert changed - {"head.weight"} == {"text_embedding.weight", "text2_embedding.weight"}
    assert ("head.weight" in changed) == wide


def test_without_a_file_nothing_is_initialised():
    encoder, net, fresh, notes = initialised(Means(embedding_dim=5, wide=False))
    assert notes == ()
    assert all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items())


def test_useless_vectors_are_refused(tmp_path):
    path = written(tmp_path, "der 1 2\nund 3 4\n")
    with pytest.raises(DataError, match="none of the .* words of column 'review' has a vector in .*; use a file of the same"):
        initialised(Means(word_vectors=path))
    with pytest.raises(OptionError, match="Means.word_vectors is 'nonsense', expected the path of an existing file"):
        Means(word_vectors="nonsense").check()
    with pytest.raises(OptionError, match="Means.tokens is 'pieces', expected 'words' with word_vectors"):
        Means(word_vectors=path, tokens="pieces").check()


def test_the_default_family_of_texts_gets_the_word_vectors(tmp_path, monkeypatch):
    from lamina.families import branches

    class Numbers(BranchFamily):
        reads = ()

    monkeypatch.setitem(branches.BRANCHES, "text", Means)
    _, net, _, notes = initialised(Numbers(word_vectors=written(tmp_path, GLOVE)))
    assert net.get_parameter("text_embedding.weight").shape[1] == 3
    assert len(notes) == 2
    assert isinstance(net.plan.layers["head"], Dense)
