"""Vectors of words that were learnt elsewhere, on more text than a table holds: GloVe, word2vec, fastText."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lamina.errors import OptionError, ReadError


@dataclass(frozen=True)
class WordVectors:
    """A file of word vectors, read only as far as it is asked for.

    Three forms: GloVe's text (a line is a word and its numbers, with a space between), word2vec's and fastText's text (the same
    after a line with two whole numbers), and ``.npz`` with the arrays ``words`` (N,) and ``vectors`` (N, width).

    Pennington et al. 2014, https://aclanthology.org/D14-1162; Mikolov et al. 2013, https://arxiv.org/abs/1301.3781.

    Args:
        path: The file.

    Raises:
        OptionError: There is no such file.
        ReadError: It holds something else.
    """

    path: str

    def __post_init__(self) -> None:
        if not Path(self.path).is_file():
            raise OptionError(f"there is no file of word vectors {self.path}; give the path of a .txt, .vec or .npz file")

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        if self._is_archive:
            return self._arrays()[1].shape[1]
        return self._form()[1]

    def find(self, words: Collection[str]) -> dict[str, np.ndarray]:
        """The vectors of those of the words that the file has, float32 (width,).

        A word that stands in the file only with capitals is taken with them.
        """
        wanted, exact, other = set(words), {}, {}
        for word, vector in self._rows(wanted):
            if word in wanted:
                exact.setdefault(word, vector)
            else:
                other.setdefault(word.lower(), vector)
        return {word: found for word in words if (found := exact.get(word, other.get(word))) is not None}

    # -- text ----------------------------------------------------------------------------------------------------------

    @property
    def _is_archive(self) -> bool:
        return self.path.lower().endswith(".npz")

    def _form(self) -> tuple[int, int]:
        """Lines before the first word, and the width."""
        first, second = ([*self._lines(2), "", ""])[:2]
        head = first.split(" ")
        if len(head) == 2 and all(part.isdecimal() for part in head):  # word2vec: how many words, how wide
            return 1, int(head[1])
        width = len(head) - 1
        if width < 1 or _numbers(head[1:]) is None:
            raise ReadError(f"{self.path} holds no word vectors: line 1 is {first[:40]!r}, expected a word and its numbers")
        return 0, width

    def _lines(self, most: int | None = None) -> Iterator[str]:
        try:
            # Only \n ends a line: the words themselves may hold any other kind of space.
            with open(self.path, encoding="utf-8", newline="\n") as file:
                for number, line in enumerate(file):
                    if number == most:
                        return
                    yield line.rstrip("\r\n ")
        except UnicodeDecodeError as error:
            raise ReadError(f"{self.path} is no text in UTF-8, expected word vectors as text or .npz; convert it") from error

    def _rows(self, wanted: set[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Words that are wanted, perhaps but for capitals, with their vectors; numbers of other words are only counted."""
        if self._is_archive:
            words, vectors = self._arrays()
            for i, word in enumerate(words.tolist()):
                if word in wanted or word.lower() in wanted:
                    yield word, vectors[i].astype(np.float32)
            return
        skip, width = self._form()
        for number, line in enumerate(self._lines(), 1):
            if number <= skip or not line:
                continue
            extra = line.count(" ") - width
            # GloVe's largest file has words with spaces in them, so a longer line is in order unless numbers fill it.
            word, *numbers = line.rsplit(" ", width) if extra > 0 else line.split(" ")
            if extra < 0 or (extra > 0 and _numbers(word.split(" ")[1:]) is not None):
                raise ReadError(
                    f"{self.path} is ragged: line {number} has {width + extra} numbers, expected {width} as in the first; "
                    "mend or fetch the file again"
                )
            if word in wanted or word.lower() in wanted:
                vector = _numbers(numbers)
                if vector is None:
                    raise ReadError(f"{self.path}, line {number}: the vector of {word!r} holds something else than numbers")
                yield word, vector

    # -- arrays --------------------------------------------------------------------------------------------------------

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                words, vectors = archive["words"], archive["vectors"]
        except (KeyError, ValueError, OSError) as error:
            raise ReadError(
                f"{self.path} cannot be read ({error}), expected arrays 'words' of text and 'vectors'; "
                "write it with np.savez(path, words=np.array(words), vectors=vectors)"
            ) from error
        if words.ndim != 1 or words.dtype.kind != "U" or vectors.ndim != 2 or len(words) != len(vectors):
            raise ReadError(
                f"{self.path} holds words {words.shape} of {words.dtype} and vectors {vectors.shape}, "
                "expected text (N,) and numbers (N, width)"
            )
        return words, vectors


def _numbers(parts: list[str]) -> np.ndarray | None:
    """Finite numbers as float32, or None when it is something else."""
    try:
        numbers = np.array(parts, dtype=np.float64)
    except ValueError:
        return None
    return numbers.astype(np.float32) if np.isfinite(numbers).all() else None
