"""A verdict in plain words: one paragraph for a person who has never seen statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lamina.comparison.statistics import MIN_FOLDS, SAME_COST
from lamina.tasks.metrics import Metric

if TYPE_CHECKING:
    from lamina.comparison.verdict import Candidate, Verdict


def paragraph(verdict: Verdict, candidates: Sequence[Candidate], *, metric: Metric, rows: int, baseline: str) -> str:
    """Say what wins, by how much, how sure that is, what it costs, what to take, and whether more rows might tell.

    "The chance that it is better" may be said so: it is a probability of the posterior, and no p-value.
    """
    known = {candidate.name: candidate for candidate in candidates}
    if verdict.call == "failed":
        why = _together((each.name, each.failed or "no scores") for each in candidates)
        reasons = "; ".join(f"{names}: {reason}" for reason, names in why.items())
        return f"Nothing can be said: no candidate has a score{f' ({reasons})' if reasons else ''}."
    if verdict.rival:
        said = _compared(verdict, known, metric, rows=rows, baseline=baseline)
    else:
        best = known[verdict.best]
        it = f"{called(best.name)} ({metric.title} {amount(float(np.array(best.scores)[best.finished].mean()), verdict.rope)})"
        if verdict.call == "alone":
            said = [f"Only {it} has scores, so there is nothing to compare it with."]
        else:
            folds = max(len(each.scores) for each in candidates)
            few = "a single fold" if folds == 1 else f"{folds} folds"
            said = [
                f"Nothing can be said yet: no two candidates finished {MIN_FOLDS} folds in common."
                if folds >= MIN_FOLDS
                else f"Nothing can be said: {few} cannot show how much a difference varies, it takes {MIN_FOLDS} at least.",
                f"So far {it} is ahead, which may be chance.",
            ]
    return " ".join([*said, *_missing(verdict, known)])


def _compared(verdict: Verdict, known: Mapping[str, Candidate], metric: Metric, *, rows: int, baseline: str) -> list[str]:
    """The sentences of each call. Figures are of the folds that best and rival both finished."""
    best, rival, take = (known[name] for name in (verdict.best, verdict.rival, verdict.take))
    a, b = called(best.name), called(rival.name)
    one = verdict.between(best.name, rival.name)
    common = [fold for fold, both in enumerate(zip(best.finished, rival.finished, strict=False)) if all(both)]
    high, low = (amount(float(np.array(each.scores)[common].mean()), verdict.rope) for each in (best, rival))
    against = f"{metric.title}{'' if metric.greater else ' (lower is better)'} {high} against {low}"
    lead, least = amount(one.mean, verdict.rope), short(verdict.rope)
    better, equal, worse = (chance(each, verdict.sure) for each in (one.better, one.equal, one.worse))
    truly = f"The chance that it is truly better, by more than the {least} that matters, is {better}."
    cost = _cost(take, best if take is rival else rival, rows)
    more = (
        f"About {short(_up(verdict.rows_needed))} rows instead of {rows:,} might tell."
        if verdict.rows_needed
        else "Even 100 times as many rows would probably not tell."
    )
    met = {name for pair in verdict.pairs if best.name in (pair.first, pair.second) for name in (pair.first, pair.second)}
    met -= {best.name, baseline}

    if verdict.call == "nothing learnt":
        doubt = one.better > 1 - verdict.sure
        return [
            f"{'It is not clear that anything was learnt' if doubt else 'Nothing was learnt'} from these columns.",
            f"{b} looks at none of them, and {a}, the best of the others, is not clearly better: {against}. {truly}",
            *([more] if doubt else []),
            f"Take {b}, or find columns that say more about the target.",
        ]
    if verdict.call == "wins":
        simpler = rival.simpler_than(best) and rival.name != baseline
        return [
            f"{a} wins: {against} for {b}{', the next best' if len(met) > 1 else ''}. {truly}",
            cost if rival.name != baseline else f"{_alone(best)}.",
            f"Take {a}{f', unless the simpler model is worth more to you than {lead} of {metric.title}' if simpler else ''}.",
        ]

    also = [
        called(name) for name in known if name in met - {rival.name} and verdict.between(best.name, name).better < verdict.sure
    ]
    too = [f"May be as good, too: {', '.join(also)}."] if also else []
    if take is best and rival.simpler_than(best):
        why = f"{b} is simpler, but did not finish every fold: take {a}."
    elif take is best and not best.simpler_than(rival):
        why = f"They are about equally complex: take {a}, {'which is ahead' if one.mean > 0 else 'the first'}."
    elif verdict.call == "tie":
        why = f"A tie goes to the simpler one: take {called(take.name)}."
    elif take is best:
        why = f"Take {a}: it is ahead, and the simpler one as well."
    else:
        why = f"Until {a} is proven better take {b}, the simpler one; if the risk matters more to you, take {a}."
    if verdict.call == "unclear":
        doubt = (
            f"It is better, almost surely, but {rows:,} rows cannot tell whether by enough to matter: the chance that it is by "
            f"more than {least} is {better}."
            if one.low > 0
            else f"But {rows:,} rows cannot tell whether it is truly better: the chance that it is, by more than {least}, is "
            f"{better}; that {b} is, {worse}; that they differ by less, too little to matter, {equal}."
        )
        said = [f"{a} is ahead of {b}{' by a hair' if high == low else ''}: {against}.", doubt, more]
    elif one.low or one.high:
        said = [
            f"{a} and {b} are practically equal: {against}.",
            f"The chance that they truly differ by no more than {least}, too little to matter, is {equal}.",
        ]
    else:
        said = [f"{a} and {b} have exactly the same scores: {metric.title} {high}."]
    return [*said, *too, cost, why]


def _alone(one: Candidate) -> str:
    return f"{called(one.name)} learns in {duration(one.fit_seconds)} and answers a row in {micros(one.predict_micros)}"


def _cost(one: Candidate, other: Candidate, rows: int) -> str:
    """What two candidates cost, and how much more the dearer one does."""
    said = f"{_alone(one)}; {called(other.name)} takes {duration(other.fit_seconds)} and {micros(other.predict_micros)}"
    low, high = sorted((one.cost(rows), other.cost(rows)))
    if high <= SAME_COST * low:
        return f"{said}."
    dearer = called((one if one.cost(rows) == high else other).name)
    return f"{said}; learning and answering {rows:,} rows takes {dearer} {short(high / max(low, 1e-9))} times as long."


def _missing(verdict: Verdict, known: Mapping[str, Candidate]) -> list[str]:
    """Who is not compared, or only on some folds, and why."""
    folds = max(len(each.scores) for each in known.values())
    met = {name for pair in verdict.pairs for name in (pair.first, pair.second)}
    out, part = [], []
    for each in known.values():
        count = int(each.finished.sum())
        done = f"{count} of {folds} folds" + (f", {each.failed}" if each.failed else "")
        if each.name not in met and each.name != verdict.best:
            out.append((each.name, done if count else each.failed or "no scores"))
        elif count < folds:
            part.append((each.name, done))
    return [
        f"{what}: {'; '.join(f'{names} ({why})' for why, names in _together(some).items())}."
        for what, some in (("Not compared", out), ("Compared on what was finished", part))
        if some
    ]


def _together(reasons: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The names that share a reason, by it."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(called(name))
    return {reason: ", ".join(some) for reason, some in names.items()}


# ---------------------------------------------------------------- numbers
def called(name: str) -> str:
    """A name in a sentence, in quotes where it is several words.

    Example:
        >>> called("forest"), called("baseline")
        ('forest', '"baseline"')
    """
    return f'"{name}"' if " " in name else name


def amount(value: float, rope: float) -> str:
    """A score or difference with as many places as show a tenth of the rope.

    Example:
        >>> amount(0.87431, 0.01), amount(48123.4, 980.0)
        ('0.874', '48,123')
    """
    places = max(1 - math.floor(math.log10(rope)), 0) if rope else 4
    return f"{value:.4g}" if places > 8 else f"{round(value, places) + 0.0:,.{places}f}"


def short(value: float) -> str:
    """Two significant digits without an exponent.

    Example:
        >>> short(0.0101), short(7.04), short(3835), short(0.0)
        ('0.01', '7', '3,800', '0')
    """
    if not value:
        return "0"
    places = 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def chance(probability: float, sure: float) -> str:
    """A probability in hundred; what falls short of ``sure`` is not rounded up to it.

    Example:
        >>> chance(0.973, 0.95), chance(0.9999, 0.95), chance(0.001, 0.95), chance(0.949, 0.95)
        ('97 in 100', 'more than 99 in 100', 'less than 1 in 100', '94 in 100')
    """
    if probability > 0.995:
        return "more than 99 in 100"
    if probability < 0.005:
        return "less than 1 in 100"
    hundredths = round(100 * probability)
    return f"{hundredths - (probability < sure <= hundredths / 100)} in 100"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours.

    Example:
        >>> duration(0.0012), duration(0.34), duration(312), duration(9000)
        ('less than 0.01 s', '0.34 s', '5.2 minutes', '2.5 hours')
    """
    if seconds < 0.01:
        return "less than 0.01 s"
    unit, size = ("s", 1) if seconds < 120 else ("minutes", 60) if seconds < 7200 else ("hours", 3600)
    return f"{short(seconds / size)} {unit}"


def micros(value: float) -> str:
    """Microseconds, or milliseconds from a thousand on.

    Example:
        >>> micros(0.031), micros(12.3), micros(1840)
        ('0.031 µs', '12 µs', '1.8 ms')
    """
    return f"{short(value)} µs" if value < 1000 else f"{short(value / 1000)} ms"


def _up(rows: int | None) -> int:
    """Two significant digits, rounded up: no fewer rows than are needed."""
    size = 10 ** max(len(str(rows)) - 2, 0)
    return -(-(rows or 0) // size) * size
