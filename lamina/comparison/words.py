"""The verdict of a comparison as a paragraph for readers without statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lamina.comparison.results import Candidate, Verdict
from lamina.comparison.statistics import MIN_FOLDS, SAME_COST, Comparison
from lamina.tasks.metrics import Metric
from lamina.wording import count, duration, two_digits


def paragraph(verdict: Verdict, candidates: Sequence[Candidate], *, metric: Metric, rows: int, baseline: str) -> str:
    """The best candidate, its lead and the probability of that, costs, the recommendation, and whether more rows might help.

    "The probability that it is better" is meant literally: it belongs to a posterior and is no p-value.
    """
    by_name = {candidate.name: candidate for candidate in candidates}
    if verdict.call == "failed":
        failures = _by_reason((candidate.name, candidate.failed or "no scores") for candidate in candidates)
        reasons = "; ".join(f"{names}: {reason}" for reason, names in failures.items())
        return f"No verdict: no candidate has a score{f' ({reasons})' if reasons else ''}."
    if verdict.rival:
        sentences = _comparison(verdict, by_name, metric, rows=rows, baseline=baseline)
    else:
        best = by_name[verdict.best]
        score = amount(float(np.array(best.scores)[best.finished].mean()), verdict.rope)
        leader = f"{quoted(best.name)} ({metric.title} {score})"
        folds = max(len(candidate.scores) for candidate in candidates)
        if verdict.call == "alone":
            sentences = [f"No verdict: only {leader} has scores, so it cannot be compared."]
        elif folds >= MIN_FOLDS:
            sentences = [f"No verdict: no two candidates finished {MIN_FOLDS} folds in common."]
        else:
            sentences = [
                f"No verdict: {count(folds, 'fold')} cannot show how much scores vary; at least {MIN_FOLDS} are needed."
            ]
        if verdict.call != "alone":
            sentences.append(f"So far {leader} scores best, which may be chance.")
    return " ".join([*sentences, *_incomplete(verdict, by_name)])


def outside(verdict: Verdict, own: Candidate | None, metric: Metric) -> str:
    """The sentences on a recommended candidate that is no family of lamina: what can be had instead of a ``.lamina`` file.

    Args:
        verdict: The verdict over all candidates.
        own: The one that is recommended among lamina's own; None without one.
        metric: The metric of the scores.
    """
    name = quoted(verdict.take)
    sentences = [f"{name} is an estimator and no family of lamina, so it is in no .lamina file: fit it to all rows yourself."]
    if own is None:
        sentences.append('No family of lamina has scores here; add families, such as "auto": "auto".')
    else:
        score = amount(float(np.array(own.scores)[own.finished].mean()), verdict.rope)
        sentences.append(f"The best of lamina's own is {quoted(own.name)} ({metric.title} {score}).")
    sentences.append("lamina.fit(..., teacher=ESTIMATOR) fits a network to its predictions, which is saved as any model.")
    return " ".join(sentences)


def _comparison(verdict: Verdict, by_name: Mapping[str, Candidate], metric: Metric, *, rows: int, baseline: str) -> list[str]:
    """The sentences of the calls with a rival. Scores are means over the folds that best and rival both finished."""
    best, rival, take = (by_name[name] for name in (verdict.best, verdict.rival, verdict.take))
    a, b = quoted(best.name), quoted(rival.name)
    difference = verdict.between(best.name, rival.name)
    common = [fold for fold, both in enumerate(zip(best.finished, rival.finished, strict=False)) if all(both)]
    high, low = (amount(float(np.array(each.scores)[common].mean()), verdict.rope) for each in (best, rival))
    scores = f"{metric.title}{'' if metric.greater else ' (lower is better)'} {high} against {low}"
    least = two_digits(verdict.rope)
    matters = f"{least} (the smallest difference that matters)"
    better, equal, worse = (
        probability(value, verdict.sure) for value in (difference.better, difference.equal, difference.worse)
    )
    certainty = f"The probability that it is better by more than {matters} is {better}."
    cost = _cost(take, best if take is rival else rival, rows)
    more_rows = (
        f"About {two_digits(_round_up(verdict.rows_needed))} rows instead of {rows:,} might decide it."
        if verdict.rows_needed
        else "Even 100 times as many rows would probably not decide it."
    )
    compared = _compared_with(verdict, best.name) - {baseline}

    if verdict.call == "nothing learnt":
        undecided = difference.better > 1 - verdict.sure
        return [
            f"No model is {'clearly ' * undecided}better than {b}, which ignores all columns.",
            f"The best of them is {a}: {scores} for {b}. {certainty}",
            *([more_rows] if undecided else []),
            f"Use {b}, or add columns that predict the target.",
        ]
    if verdict.call == "wins":
        simpler = rival.simpler_than(best) and rival.name != baseline
        lead = amount(difference.mean, verdict.rope)
        return [
            f"{a} is best: {scores} for {b}{', the second best' if len(compared) > 1 else ''}. {certainty}",
            cost if rival.name != baseline else f"{_times(best)}.",
            f"Use {a}{f', unless {_simpler(rival, best)} matters more than {lead} of {metric.title}' if simpler else ''}.",
        ]
    if verdict.call == "unclear":
        doubt = (
            f"It is almost certainly better, but {rows:,} rows are too few to decide whether by more than {matters}: the "
            f"probability of that is {better}."
            if difference.low > 0
            else f"With {rows:,} rows this is not conclusive: {a} is better by more than {matters} with a probability of "
            f"{better}, {b} with {worse}, and they differ by {least} or less with {equal}."
        )
        sentences = [f"{a} scores {'slightly ' * (high == low)}better than {b}: {scores}.", doubt, more_rows]
    elif difference.low or difference.high:
        sentences = [
            f"{a} and {b} are practically equal: {scores}.",
            f"The probability that they differ by no more than {matters} is {equal}.",
        ]
    else:
        sentences = [f"{a} and {b} have exactly the same scores: {metric.title} {high}."]
    unbeaten = [
        quoted(name)
        for name in by_name
        if name in compared - {rival.name} and verdict.between(best.name, name).better < verdict.sure
    ]
    if unbeaten:
        sentences.append(f"Not clearly worse: {', '.join(unbeaten)}.")
    return [*sentences, cost, _recommendation(verdict.call, best, rival, take, difference)]


def _recommendation(call: str, best: Candidate, rival: Candidate, take: Candidate, difference: Comparison) -> str:
    """The candidate to use where none is clearly best, and why."""
    a, b = quoted(best.name), quoted(rival.name)
    if take is best and rival.simpler_than(best):
        return f"{b} is simpler, but did not finish every fold: use {a}."
    if take is best and not best.simpler_than(rival):
        return f"They are about equally complex: use {a}, {'which scores better' if difference.mean > 0 else 'the first'}."
    simpler = _simpler(take, best if take is rival else rival).replace("a simpler", "the simpler")
    if call == "tie":
        return f"Of equal models {simpler.replace('simpler model', 'simpler one')} is preferred: use {quoted(take.name)}."
    if take is best:
        return f"Use {a}: it scores better and is {simpler}."
    return f"Use {b}, {simpler}, until {a} is shown to be better; if the score matters more to you, use {a}."


def _simpler(candidate: Candidate, other: Candidate) -> str:
    """What speaks for the simpler of two candidates; the complexity of one that is no family of lamina is not known."""
    return "a family of lamina" if other.foreign and not candidate.foreign else "a simpler model"


def _times(candidate: Candidate) -> str:
    predict = duration(candidate.predict_micros / 1e6)
    return f"{quoted(candidate.name)} fits in {duration(candidate.fit_seconds)} and predicts a row in {predict}"


def _cost(candidate: Candidate, other: Candidate, rows: int) -> str:
    """The times of two candidates, and their ratio where it is more than noise."""
    times = f"{_times(candidate)}, {quoted(other.name)} in {duration(other.fit_seconds)} and "
    times += duration(other.predict_micros / 1e6)
    low, high = sorted((candidate.cost(rows), other.cost(rows)))
    if high <= SAME_COST * low:
        return f"{times}."
    slower = quoted((candidate if candidate.cost(rows) == high else other).name)
    return f"{times}; to fit and predict {rows:,} rows, {slower} takes {two_digits(high / max(low, 1e-9))} times as long."


def _compared_with(verdict: Verdict, name: str | None = None) -> set[str]:
    """The candidates that were compared, with each other or with one of them."""
    pairs = [pair for pair in verdict.pairs if name is None or name in (pair.first, pair.second)]
    return {member for pair in pairs for member in (pair.first, pair.second)} - {name}


def _incomplete(verdict: Verdict, by_name: Mapping[str, Candidate]) -> list[str]:
    """The candidates that are not compared, or only on some folds, and why."""
    folds = max(len(candidate.scores) for candidate in by_name.values())
    compared = _compared_with(verdict) | {verdict.best}
    excluded, partial = [], []
    for candidate in by_name.values():
        finished = int(candidate.finished.sum())
        part = f"{finished} of {folds} folds" + (f", {candidate.failed}" if candidate.failed else "")
        if candidate.name not in compared:
            excluded.append((candidate.name, part if finished else candidate.failed or "no scores"))
        elif finished < folds:
            partial.append((candidate.name, part))
    return [
        f"{title}: {'; '.join(f'{names} ({reason})' for reason, names in _by_reason(failures).items())}."
        for title, failures in (("Not compared", excluded), ("Compared on the folds that they finished", partial))
        if failures
    ]


def _by_reason(failures: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The names that share a reason, by reason."""
    names: dict[str, list[str]] = {}
    for name, reason in failures:
        names.setdefault(reason, []).append(quoted(name))
    return {reason: ", ".join(members) for reason, members in names.items()}


# ---------------------------------------------------------------- names and numbers
def quoted(name: str) -> str:
    """A name for a sentence, in quotes where it is several words.

    Example:
        >>> quoted("forest"), quoted("forest 2")
        ('forest', '"forest 2"')
    """
    return f'"{name}"' if " " in name else name


def amount(value: float, rope: float) -> str:
    """A score or difference with as many decimals as show a tenth of the rope.

    Example:
        >>> amount(0.87431, 0.01), amount(48123.4, 980.0)
        ('0.874', '48,123')
    """
    places = max(1 - math.floor(math.log10(rope)), 0) if rope else 4
    return f"{value:.4g}" if places > 8 else f"{round(value, places) + 0.0:,.{places}f}"


def probability(value: float, sure: float) -> str:
    """A probability in percent, not rounded up to ``sure``.

    Example:
        >>> probability(0.973, 0.95), probability(0.9999, 0.95), probability(0.001, 0.95), probability(0.949, 0.95)
        ('97 %', 'more than 99 %', 'less than 1 %', '94 %')
    """
    if value > 0.995:
        return "more than 99 %"
    if value < 0.005:
        return "less than 1 %"
    percent = round(100 * value)
    return f"{percent - (value < sure <= percent / 100)} %"


def _round_up(rows: int | None) -> int:
    """Two significant digits, rounded up: no fewer rows than are needed."""
    size = 10 ** max(len(str(rows)) - 2, 0)
    return -(-(rows or 0) // size) * size
