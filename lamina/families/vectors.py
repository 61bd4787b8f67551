"""Pretrained word vectors from files: GloVe, word2vec, fastText."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lamina.errors import OptionError, ReadError


@dataclass(frozen=True)
class WordVectors:
    """A file of word vectors, read lazily.

    Three formats: GloVe's text (a word and its numbers on each line, separated by spaces), word2vec's and fastText's text (the
    same after a line with two integers), and ``.npz`` with the arrays ``words`` (N,) and ``vectors`` (N, width).

    Pennington et al. 2014, https://aclanthology.org/D14-1162; Mikolov et al. 2013, https://arxiv.org/abs/1301.3781.

    Args:
        path: The file.

    Raises:
        OptionError: The file does not exist.
        ReadError: The file has another format.
    """

    path: str

    def __post_init__(self) -> None:
        if not Path(self.path).is_file():
            raise OptionError(f"there is no file of word vectors {self.path}; give the path of a .txt, .vec or .npz file")

    @property
    def width(self) -> int:
        """Length of a vector."""
        if self._is_archive:
            return self._arrays()[1].shape[1]
        return self._format()[1]

    def find(self, words: Collection[str]) -> dict[str, np.ndarray]:
        """The vectors of the words in the file, float32 (width,); a capitalised word matches if there is no exact match."""
        requested, exact, lower = set(words), {}, {}
        for word, vector in self._rows(requested):
            if word in requested:
                exact.setdefault(word, vector)
            else:
                lower.setdefault(word.lower(), vector)
        return {word: vector for word in words if (vector := exact.get(word, lower.get(word))) is not None}

    # -- text ----------------------------------------------------------------------------------------------------------

    @property
    def _is_archive(self) -> bool:
        return self.path.lower().endswith(".npz")

    def _format(self) -> tuple[int, int]:
        """Lines before the first word, and the width."""
        first = next(self._lines(), "")
        head = first.split(" ")
        if len(head) == 2 and all(part.isdecimal() for part in head):  # word2vec: number of words, length of a vector
            return 1, int(head[1])
        width = len(head) - 1
        if width < 1 or _numbers(head[1:]) is None:
            raise ReadError(f"{self.path} has no word vectors: line 1 is {first[:40]!r}, expected a word and its numbers")
        return 0, width

    def _lines(self) -> Iterator[str]:
        try:
            # Only \n ends a line: words may contain any other whitespace.
            with open(self.path, encoding="utf-8", newline="\n") as file:
                for line in file:
                    yield line.rstrip("\r\n ")
        except UnicodeDecodeError as error:
            raise ReadError(f"{self.path} is not UTF-8 text, expected word vectors as text or .npz; convert it") from error

    def _rows(self, requested: set[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Requested words, case ignored, with their vectors; the numbers of other words are only counted."""
        if self._is_archive:
            words, vectors = self._arrays()
            for i, word in enumerate(words.tolist()):
                if word in requested or word.lower() in requested:
                    yield word, vectors[i].astype(np.float32)
            return
        skip, width = self._format()
        for number, line in enumerate(self._lines(), 1):
            if number <= skip or not line:
                continue
            extra = line.count(" ") - width
            # GloVe's largest file has words with spaces: a longer line is an error only if it consists of numbers.
            word, *numbers = line.rsplit(" ", width) if extra > 0 else line.split(" ")
            if extra < 0 or (extra > 0 and _numbers(word.split(" ")[1:]) is not None):
                raise ReadError(
                    f"{self.path} is ragged: line {number} has {width + extra} numbers, expected {width} as in the first; "
                    "repair the file or download it again"
                )
            if word in requested or word.lower() in requested:
                vector = _numbers(numbers)
                if vector is None:
                    raise ReadError(f"{self.path}, line {number}: the vector of {word!r} is not numeric")
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
                f"{self.path} has words {words.shape} of {words.dtype} and vectors {vectors.shape}, "
                "expected text (N,) and numbers (N, width)"
            )
        return words, vectors


def _numbers(parts: list[str]) -> np.ndarray | None:
    """Finite numbers as float32, or None if one is not."""
    try:
        numbers = np.array(parts, dtype=np.float64)
    except ValueError:
        return None
    return numbers.astype(np.float32) if np.isfinite(numbers).all() else None
