"""The rule of the verdict, its edges, and its words."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.comparison.statistics import correlated_t_test, rows_needed
from lamina.comparison.verdict import BASELINE, CALLS, Candidate, Verdict, decide
from lamina.errors import OptionError
from tests.comparison.metrics import METRICS

WAVE = np.sin(np.arange(15) * 2.3)
HARD = 0.01 * np.cos(np.arange(15) * 1.1)
"""What makes a fold easy or hard for everybody."""


def candidate(name, mean, *, spread=0.002, phase=0, folds=15, seconds=1.0, micros=1.0, rank=6, parameters=100, failed=""):
    scores = mean + HARD + spread * np.roll(WAVE, phase)
    return Candidate(name, tuple(scores[:folds].tolist()), seconds, micros, 100, failed, rank, parameters)


def verdict(*candidates, metric="accuracy", rows=5000, **options):
    return decide(candidates, metric=METRICS[metric], rows=rows, test_share=0.2, **options)


SIMPLE = candidate("ridge", 0.85, seconds=0.1, rank=1)
BASE = Candidate(BASELINE, (0.6,) * 15, 0.001, 0.01, 10)


# ---------------------------------------------------------------- the rule
def test_the_more_complex_one_is_taken_where_it_has_proven_itself():
    found = verdict(candidate("forest", 0.875, seconds=9, phase=3), SIMPLE, candidate("tree", 0.8, phase=5), BASE)
    assert (found.call, found.best, found.rival, found.take, found.rows_needed) == ("wins", "forest", "ridge", "forest", None)
    assert found.words == (
        "forest wins: accuracy 0.875 against 0.850 for ridge, the next best. The chance that it is truly better, by more than "
        "the 0.01 that matters, is more than 99 in 100. forest learns in 9 s and answers a row in 1 µs; ridge takes 0.1 s and "
        "1 µs; learning and answering 5,000 rows takes forest 86 times as long. Take forest, unless the simpler model is worth "
        "more to you than 0.025 of accuracy."
    )


def test_a_tie_goes_to_the_simpler_one():
    found = verdict(candidate("forest", 0.853, seconds=9, phase=3), SIMPLE, BASE)
    assert (found.call, found.best, found.rival, found.take) == ("tie", "forest", "ridge", "ridge")
    assert "forest and ridge are practically equal: accuracy 0.853 against 0.850." in found.words
    assert found.words.endswith("A tie goes to the simpler one: take ridge.")


def test_a_tie_that_the_best_one_is_simpler_in():
    found = verdict(candidate("forest", 0.847, seconds=9, phase=3), SIMPLE)
    assert (found.call, found.best, found.rival, found.take) == ("tie", "ridge", "forest", "ridge")


def test_a_doubt_goes_to_the_simpler_one_and_its_risk_is_named():
    forest = candidate("forest", 0.862, seconds=9, phase=3, spread=0.02)
    found = verdict(forest, SIMPLE, BASE, rows=1000)
    assert (found.call, found.best, found.rival, found.take) == ("unclear", "forest", "ridge", "ridge")
    pair = correlated_t_test(np.subtract(forest.scores, SIMPLE.scores), test_share=0.2, rope=0.01)
    assert found.between("forest", "ridge") == pair
    assert f"is {round(100 * pair.better)} in 100; that ridge is, {round(100 * pair.worse)} in 100;" in found.words
    needed = rows_needed(np.subtract(forest.scores, SIMPLE.scores), rows=1000, test_share=0.2, rope=0.01)
    assert needed is not None
    assert found.rows_needed == needed
    assert "But 1,000 rows cannot tell whether it is truly better" in found.words
    assert "take ridge, the simpler one; if the risk matters more to you, take forest." in found.words
    found = verdict(
        candidate("forest", 0.860, seconds=9, phase=3, spread=0.02), candidate("ridge", 0.85, seconds=0.1, spread=0, rank=1)
    )
    assert found.rows_needed is None
    assert "Even 100 times as many rows would probably not tell." in found.words


def test_models_that_are_about_equally_complex_leave_it_to_the_score():
    better, smaller = candidate("wide", 0.853, parameters=140, phase=3), candidate("narrow", 0.85)
    found = verdict(better, smaller)
    assert (found.call, found.take) == ("tie", "wide")
    assert found.words.endswith("They are about equally complex: take wide, which is ahead.")
    assert verdict(better, smaller, candidate("slim", 0.849, parameters=95, phase=2)).take == "wide"
    assert verdict(better, smaller, candidate("tiny", 0.849, parameters=90, phase=2)).take == "narrow"


def test_simpler_is_the_family_first_and_the_size_only_within_it():
    large, small = candidate("linear", 0.85, rank=1, parameters=9_000, phase=3), candidate("net", 0.85, rank=8, parameters=10)
    assert verdict(large, small).take == "linear"
    assert large.simpler_than(small)
    assert not small.simpler_than(large)
    assert verdict(candidate("many", 0.853, parameters=5_000, phase=3), candidate("few", 0.85)).take == "few"


def test_identical_candidates_are_a_tie_and_size_then_order_decide():
    found = verdict(
        candidate("a", 0.8, rank=8),
        candidate("b", 0.8),
        candidate("c", 0.8, parameters=50),
        candidate("d", 0.8, parameters=50),
    )
    assert (found.call, found.take) == ("tie", "c")
    assert {pair.found.equal for pair in found.pairs} == {1.0}
    words = verdict(candidate("a", 0.8), candidate("b", 0.8)).words
    assert words.endswith("They are about equally complex: take a, the first.")
    assert "a and c have exactly the same scores: accuracy 0.800. May be as good, too: b, d." in found.words


def test_better_but_perhaps_not_by_enough():
    found = verdict(candidate("forest", 0.865, seconds=9, phase=3, spread=0.014), SIMPLE)
    assert found.call == "unclear"
    assert found.between("forest", "ridge").low > 0
    assert "It is better, almost surely, but 5,000 rows cannot tell whether by enough to matter" in found.words


def test_the_rival_is_the_nearest_that_is_not_beaten():
    near, far = (
        candidate("near", 0.849, seconds=9, phase=3, spread=0.03),
        candidate("far", 0.845, seconds=9, spread=0.03, phase=2),
    )
    beaten = candidate("beaten", 0.8, seconds=9)
    for others in ((near, far, beaten), (beaten, far, near)):
        found = verdict(SIMPLE, *others)
        assert (found.call, found.take, found.rival) == ("unclear", "ridge", "near")
        assert "May be as good, too: far." in found.words


def test_one_that_may_be_as_good_keeps_the_best_from_winning_though_others_are_nearer():
    near, wild = candidate("near", 0.83, seconds=9, phase=3), candidate("wild", 0.82, seconds=9, phase=3, spread=0.08)
    found = verdict(SIMPLE, near, wild)
    assert found.between("ridge", "near").better > 0.95
    assert (found.call, found.rival) == ("unclear", "wild")


def test_more_rivals_as_good():
    found = verdict(candidate("forest", 0.853, seconds=9, phase=3), SIMPLE, candidate("net", 0.851, seconds=99, phase=7), BASE)
    assert (found.call, found.take) == ("tie", "ridge")
    assert "May be as good, too: net." in found.words


@pytest.mark.parametrize("name", ["log_loss", "rmse", "mae"])
def test_less_is_better_for_errors(name):
    found = verdict(candidate("good", 0.3, seconds=9), candidate("bad", 0.4, phase=2), metric=name)
    assert (found.call, found.best) == ("wins", "good")
    assert found.between("good", "bad").mean == pytest.approx(0.1, abs=0.001)
    assert f"{METRICS[name].title} (lower is better) 0.30" in found.words


def test_the_rope_of_an_error_is_a_share_of_the_best_score():
    candidates = [candidate("good", 0.5), candidate("bad", 0.7, phase=2)]
    mean = np.mean(candidates[0].scores)
    assert verdict(*candidates, metric="rmse").rope == pytest.approx(0.02 * mean)
    assert verdict(*candidates, metric="log_loss").rope == 0.01
    assert verdict(*candidates, metric="rmse", rope=0.3).call == "tie"


def test_a_surer_verdict_asks_for_more():
    a, b = candidate("a", 0.87, seconds=9, spread=0.011, phase=3), candidate("b", 0.85)
    better = verdict(a, b).between("a", "b").better
    assert 0.95 < better < 0.999
    assert (verdict(a, b).call, verdict(a, b, sure=0.999).call) == ("wins", "unclear")


# ---------------------------------------------------------------- nothing learnt
def test_nothing_is_learnt_where_nothing_beats_the_baseline():
    found = verdict(candidate("forest", 0.602, seconds=9), candidate("ridge", 0.6), BASE)
    assert (found.call, found.best, found.rival, found.take) == ("nothing learnt", "forest", BASELINE, BASELINE)
    assert found.words.startswith("Nothing was learnt from these columns. baseline looks at none of them, and forest")
    assert found.words.endswith("Take baseline, or find columns that say more about the target.")
    found = verdict(candidate("forest", 0.5), BASE)
    assert found.call == "nothing learnt"
    assert "is less than 1 in 100" in found.words


def test_a_doubt_whether_anything_was_learnt_asks_for_rows():
    found = verdict(candidate("forest", 0.63, spread=0.05), BASE, rows=150)
    assert (found.call, found.take) == ("nothing learnt", BASELINE)
    assert found.words.startswith("It is not clear that anything was learnt")
    assert found.rows_needed is not None
    assert "rows instead of 150 might tell." in found.words


def test_constant_predictions_are_the_baseline_by_another_name():
    found = verdict(Candidate("net", BASE.scores, 5.0, 2.0, 100), BASE)
    assert (found.call, found.take) == ("nothing learnt", BASELINE)


def test_the_baseline_is_beaten_by_one_and_not_taken_by_the_others():
    """The best mean is too unsteady to beat the baseline for sure; a simpler and steadier one does."""
    wild, steady = candidate("wild", 0.66, spread=0.15, rank=8), candidate("steady", 0.64)
    found = verdict(wild, steady, BASE)
    assert found.between("wild", BASELINE).better < 0.95
    assert (found.best, found.take, found.call) == ("wild", "steady", "unclear")


def test_one_candidate_beside_the_baseline():
    found = verdict(candidate("forest", 0.8), BASE)
    assert (found.call, found.rival, found.take) == ("wins", BASELINE, "forest")
    assert found.words.endswith("forest learns in 1 s and answers a row in 1 µs. Take forest.")


def test_the_baseline_may_have_another_name_or_none():
    mean = Candidate("mean", BASE.scores, 0.001, 0.01, 10)
    assert verdict(candidate("forest", 0.602), mean, baseline="mean").call == "nothing learnt"
    assert verdict(candidate("forest", 0.602), mean).call == "unclear"


# ---------------------------------------------------------------- folds that are missing
def test_those_that_failed_are_named_with_the_reason():
    out = Candidate("net", (), 0.0, 0.0, 0, "out of time after 30 s")
    found = verdict(candidate("forest", 0.875, phase=3), SIMPLE, out, BASE)
    assert found.call == "wins"
    assert found.words.endswith("Not compared: net (out of time after 30 s).")
    assert not any("net" in (pair.first, pair.second) for pair in found.pairs)


def test_all_failed():
    found = verdict(Candidate("a", (), 0, 0, 0, "out of memory"), Candidate("b", (math.nan,) * 5, 0, 0, 0))
    assert (found.call, found.best, found.take, found.pairs) == ("failed", "", "", ())
    assert found.words == "Nothing can be said: no candidate has a score (a: out of memory; b: no scores)."
    assert verdict().words == "Nothing can be said: no candidate has a score."
    assert verdict(Candidate("a", (), 0, 0, 0), metric="rmse").call == "failed"


def test_a_single_one_has_scores():
    found = verdict(candidate("forest", 0.8, folds=2), Candidate("b", (), 0, 0, 0, "no memory"))
    assert (found.call, found.best, found.take) == ("alone", "forest", "forest")
    assert found.words.startswith("Only forest (accuracy 0.8")
    assert verdict(BASE).call == "alone"


def test_too_few_folds_in_common():
    found = verdict(candidate("a", 0.7, folds=2), candidate("b", 0.8, folds=5), rows=100)
    assert (found.call, found.take) == ("too few folds", "b")
    assert "no two candidates finished 3 folds in common" in found.words
    found = verdict(candidate("a", 0.7, folds=2), candidate("b", 0.8, folds=2), rows=100)
    assert found.words.startswith("Nothing can be said: 2 folds cannot show how much a difference varies, it takes 3 at least.")
    assert (
        "Nothing can be said: a single fold cannot" in verdict(candidate("a", 0.7, folds=1), candidate("b", 0.8, folds=1)).words
    )
    gaps = Candidate("gaps", (math.nan, math.nan, 0.9, 0.9), 1, 1, 1)
    assert verdict(gaps, candidate("b", 0.8, folds=4)).call == "too few folds"


def test_only_folds_that_both_finished_are_compared():
    """The net saw the easy folds only: its mean is higher, and on the same folds it is worse."""
    easy = [0.95, 0.94, 0.96, 0.95]
    forest = Candidate("forest", (*easy, 0.6, 0.61, 0.6, 0.62), 9.0, 1.0, 100)
    net = Candidate("net", tuple(np.subtract(easy, (0.05, 0.051, 0.049, 0.05))), 1.0, 1.0, 100, "out of time")
    assert np.mean(net.scores) > np.mean(forest.scores)
    found = verdict(forest, net, rows=1000)
    assert (found.best, found.call, found.take) == ("forest", "wins", "forest")
    assert [pair.folds for pair in found.pairs] == [4]
    assert "accuracy 0.950 against 0.900 for net" in found.words
    assert found.words.endswith("Compared on what was finished: net (4 of 8 folds, out of time).")


def test_one_that_met_nobody_is_not_the_best():
    """It finished the most folds, but none that the baseline did; the other beats the baseline."""
    gap = math.nan
    alone = Candidate("alone", (gap, gap, gap, 0.9, 0.9, 0.9, 0.9), 1.0, 1.0, 1)
    met, base = Candidate("met", (0.8, 0.8, 0.81), 1.0, 1.0, 1), Candidate(BASELINE, (0.5, 0.5, 0.5), 0.0, 0.0, 1)
    found = verdict(alone, met, base)
    assert (found.best, found.call, found.take) == ("met", "wins", "met")
    assert "Not compared: alone (4 of 7 folds). Compared on what was finished: met, baseline (3 of 7 folds)" in found.words


def test_one_that_did_not_finish_is_not_taken_in_place_of_one_that_did():
    simple = candidate("simple", 0.849, folds=5, rank=1, phase=3, failed="out of memory")
    found = verdict(candidate("forest", 0.85, seconds=9), simple)
    assert found.between("forest", "simple").better < 0.95
    assert (found.best, found.take) == ("forest", "forest")
    assert "simple is simpler, but did not finish every fold: take forest." in found.words


def test_scores_beyond_all_bounds_count_as_missing():
    scores = candidate("net", 0.5, phase=3).scores
    broken = Candidate("net", (-math.inf, math.nan, *scores[2:]), 1.0, 1.0, 100)
    found = verdict(candidate("forest", 0.85), broken, metric="r2")
    assert found.call == "wins"
    assert [pair.folds for pair in found.pairs] == [13]


# ---------------------------------------------------------------- the whole
def test_json_both_ways():
    for found in (verdict(candidate("forest", 0.862, phase=3, spread=0.02), SIMPLE, BASE), verdict()):
        assert Verdict.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_pairs_are_seen_from_either_side():
    found = verdict(SIMPLE, candidate("forest", 0.875, phase=3), BASE)
    assert len(found.pairs) == 3
    assert all(pair.found.mean >= 0 for pair in found.pairs)
    assert found.between("ridge", "forest").worse == found.between("forest", "ridge").better
    with pytest.raises(KeyError):
        found.between("ridge", "nobody")


def test_two_candidates_of_one_name():
    with pytest.raises(OptionError, match="2 candidates are called 'ridge'; give each a name of its own"):
        verdict(SIMPLE, SIMPLE)


@pytest.mark.parametrize("sure", [0.5, 1, 95])
def test_sure_out_of_bounds(sure):
    with pytest.raises(OptionError, match="expected a probability above 0.5 and below 1, such as 0.95"):
        verdict(SIMPLE, sure=sure)


FOLD = st.one_of(st.floats(0, 1), st.just(math.nan))
ANY = st.lists(
    st.tuples(
        st.lists(FOLD, max_size=6),
        st.floats(0, 100),
        st.floats(0, 1e4),
        st.integers(0, 10),
        st.just(""),
        st.integers(0, 3),
        st.integers(0, 9),
    ),
    min_size=0,
    max_size=5,
)
FACTORS = st.lists(st.floats(1 / 3, 3), min_size=10, max_size=10)


@settings(max_examples=150, deadline=None)
@given(ANY, st.sampled_from(["accuracy", "rmse"]), st.booleans())
def test_what_must_hold_for_any_scores(drawn, metric, with_baseline):
    names = [BASELINE if with_baseline and not place else f"c{place}" for place in range(len(drawn))]
    candidates = [Candidate(name, tuple(scores), *rest) for name, (scores, *rest) in zip(names, drawn, strict=True)]
    found = verdict(*candidates, metric=metric, rows=100)
    assert found.call in CALLS
    assert {found.best, found.take, found.rival} <= {*names, ""}
    assert found.words.endswith(".")
    assert not {"nan", "inf", "None", "-0.000"} & set(found.words.replace(";", " ").split())
    json.dumps(found.to_json(), allow_nan=False)
    assert Verdict.from_json(found.to_json()) == found
    if found.call in ("wins", "tie", "unclear") and found.take != found.best:
        complexity = {each.name: each.complexity for each in candidates}
        assert complexity[found.take] <= complexity[found.best]
        assert found.between(found.best, found.take).better < 0.95
    assert decide(candidates[::-1], metric=METRICS[metric], rows=100, test_share=0.2).call in CALLS


def advice(found):
    """What a verdict recommends, its words without the sentence about measured times."""
    words = [each for each in re.split(r"(?<=\.) ", found.words) if "learns in" not in each and " rows takes " not in each]
    return dataclasses.replace(found, words=" ".join(words))


@settings(max_examples=150, deadline=None)
@given(ANY, FACTORS, st.sampled_from(["accuracy", "rmse"]), st.booleans())
def test_measured_times_have_no_part_in_what_is_recommended(drawn, factors, metric, with_baseline):
    """A machine under load takes up to three times as long, or a third; scores, seed and models are the same."""
    names = [BASELINE if with_baseline and not place else f"c{place}" for place in range(len(drawn))]
    quiet = [Candidate(name, tuple(scores), *rest) for name, (scores, *rest) in zip(names, drawn, strict=True)]
    busy = [
        dataclasses.replace(each, fit_seconds=each.fit_seconds * fit, predict_micros=each.predict_micros * predict)
        for each, fit, predict in zip(quiet, factors[::2], factors[1::2], strict=False)
    ]
    assert advice(verdict(*quiet, metric=metric)) == advice(verdict(*busy, metric=metric))


def test_eight_runs_on_a_busy_machine_recommend_the_same():
    """As in the issue: scores that tie, times that cross from run to run."""
    random = np.random.default_rng(0)
    taken = set()
    for _ in range(8):
        seconds, micros = random.uniform(0.1, 3, size=(2, 2))
        forest = candidate("forest", 0.853, rank=6, seconds=seconds[0], micros=micros[0], phase=3)
        linear = candidate("linear", 0.850, rank=1, seconds=seconds[1], micros=micros[1])
        taken.add(verdict(forest, linear, BASE).take)
    assert taken == {"linear"}


def test_two_forests_with_different_seeds_are_no_winner():
    """The whole way on scikit-learn's own data: same folds, other seeds, and the dearer one is not taken for its luck."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.naive_bayes import GaussianNB

    x, y = load_breast_cancer(return_X_y=True)
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
    runs = {f"forest {seed}": cross_val_score(ExtraTreesClassifier(20, random_state=seed), x, y, cv=folds) for seed in (1, 2)}
    runs["half the columns"] = cross_val_score(GaussianNB(), x[:, :4], y, cv=folds)
    found = verdict(*(Candidate(name, tuple(scores.tolist()), 1.0, 9.0, 100) for name, scores in runs.items()), rows=len(y))
    assert found.call in ("tie", "unclear")
    assert {found.best, found.rival} == {"forest 1", "forest 2"}
    assert found.between(found.best, "half the columns").better > 0.95
