"""The results of a comparison: candidates with their scores and costs, the lines of the board, and the verdict."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.comparison.statistics import SAME_SIZE, Comparison

BASELINE = "baseline"
"""The candidate that ignores all columns: it predicts the most frequent class, or the mean."""
CALLS = ("wins", "tie", "unclear", "nothing learnt", "too few folds", "alone", "failed")


@dataclass(frozen=True)
class Candidate:
    """A candidate, its scores and its costs.

    Args:
        name: Unique among the candidates.
        scores: The metric on each fold, in the order of folds; nan where a fold has none, shorter where the last have none.
        fit_seconds: The median over folds of the fit time.
        predict_micros: The median over folds of the prediction time per row, in microseconds.
        bytes: Size of the model file.
        failed: Why scores are missing.
        rank: Place of its family in :data:`lamina.families.SIMPLEST_FIRST`.
        parameters: The median over folds of the number of parameters, nodes or rows of the model; the size of an estimator in
            bytes.
        foreign: Whether it is an estimator that is no family of lamina: of unknown complexity, more complex than all families.
    """

    name: str
    scores: tuple[float, ...]
    fit_seconds: float
    predict_micros: float
    bytes: int
    failed: str = ""
    rank: int = 0
    parameters: int = 0
    foreign: bool = False

    @property
    def complexity(self) -> tuple[int, int]:
        """Rank of the family, then size of the model."""
        return self.rank, self.parameters

    def simpler_than(self, other: Candidate) -> bool:
        """Whether its family is simpler, or it is a clearly smaller model of the same family."""
        return self.rank < other.rank or (self.rank == other.rank and self.parameters * SAME_SIZE < other.parameters)

    @property
    def finished(self) -> np.ndarray:
        """Whether each fold has a score."""
        return np.isfinite(np.array(self.scores, dtype=np.float64))

    def cost(self, rows: int) -> float:
        """Seconds to fit, and to predict that many rows once."""
        return self.fit_seconds + rows * self.predict_micros / 1e6


@dataclass(frozen=True)
class Line:
    """One candidate on the board.

    Attributes:
        candidate: Its scores on each fold, and its costs.
        family: Its family as JSON, with its name.
        score: The mean over its folds; nan where it has none.
        low, high: The 95 % credible interval of the mean score, corrected for training sets that overlap.
        others: The means of the other metrics.
    """

    candidate: Candidate
    family: Mapping[str, Any]
    score: float
    low: float
    high: float
    others: Mapping[str, float]

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def folds(self) -> int:
        """Number of folds that it finished."""
        return int(self.candidate.finished.sum())


@dataclass(frozen=True)
class Pair:
    """Two candidates compared on the folds that both finished.

    A difference is an improvement, for errors too (a lower error is a positive difference). The first is the better one, so
    ``difference.mean`` is not negative.
    """

    first: str
    second: str
    folds: int
    difference: Comparison


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison.

    Args:
        metric: Name of the metric.
        rope: The smallest difference that matters, in the metric's units.
        sure: The probability that a decision needs.
        best: The candidate with the best mean score, the baseline excepted; "" where there is none.
        take: The recommended candidate; "" where there is none.
        rival: The candidate that ``call`` compares ``best`` with; "" where there is none.
        call: One of :data:`CALLS`: ``best`` wins against ``rival`` (and all others), they tie, or it is unclear; no candidate
            beats the baseline ("nothing learnt"); no two candidates share enough folds ("too few folds"); a single one has
            scores ("alone"), or none ("failed").
        rows_needed: The approximate number of rows that might decide an unclear comparison.
        pairs: All pairs of candidates that share enough folds.
        words: The verdict as a paragraph.
    """

    metric: str
    rope: float
    sure: float
    best: str
    take: str
    rival: str
    call: str
    rows_needed: int | None
    pairs: tuple[Pair, ...]
    words: str

    def __repr__(self) -> str:
        return textwrap.fill(self.words, 80, break_long_words=False)

    def between(self, first: str, second: str) -> Comparison:
        """The difference between two candidates, first minus second; :class:`KeyError` where they share too few folds."""
        for pair in self.pairs:
            if {pair.first, pair.second} == {first, second}:
                return pair.difference if pair.first == first else -pair.difference
        raise KeyError((first, second))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        pairs = [dict(pair) for pair in values["pairs"]]
        for pair in pairs:  # "found" in files of earlier versions
            pair["difference"] = Comparison(**(pair.pop("found", None) or pair["difference"]))
        return cls(**{**values, "pairs": tuple(Pair(**pair) for pair in pairs)})
