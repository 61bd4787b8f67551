"""The rule of the verdict, its edges, and its words."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.comparison.results import BASELINE, CALLS, Candidate, Verdict
from lamina.comparison.statistics import correlated_t_test, rows_needed
from lamina.comparison.verdict import decide
from lamina.errors import OptionError
from tests.comparison.metrics import METRICS

WAVE = np.sin(np.arange(15) * 2.3)
HARD = 0.01 * np.cos(np.arange(15) * 1.1)
"""How much easier or harder each fold is, for all candidates."""


def candidate(name, mean, *, spread=0.002, phase=0, folds=15, seconds=1.0, micros=1.0, rank=6, parameters=100, failed=""):
    scores = mean + HARD + spread * np.roll(WAVE, phase)
    return Candidate(name, tuple(scores[:folds].tolist()), seconds, micros, 100, failed, rank, parameters)


def verdict(*candidates, metric="accuracy", rows=5000, **options):
    return decide(candidates, metric=METRICS[metric], rows=rows, test_share=0.2, **options)


SIMPLE = candidate("ridge", 0.85, seconds=0.1, rank=1)
BASE = Candidate(BASELINE, (0.6,) * 15, 0.001, 0.01, 10)


# ---------------------------------------------------------------- the rule
def test_the_more_complex_candidate_is_recommended_where_it_is_shown_to_be_better():
    result = verdict(candidate("forest", 0.875, seconds=9, phase=3), SIMPLE, candidate("tree", 0.8, phase=5), BASE)
    assert (result.call, result.best, result.rival, result.take, result.rows_needed) == (
        "wins",
        "forest",
        "ridge",
        "forest",
        None,
    )
    assert result.words == (
        "forest is best: accuracy 0.875 against 0.850 for ridge, the second best. The probability that it is better by more "
        "than 0.01 (the smallest difference that matters) is more than 99 %. forest fits in 9 s and predicts a row in 1 µs, "
        "ridge in 0.1 s and 1 µs; to fit and predict 5,000 rows, forest takes 86 times as long. Use forest, unless a simpler "
        "model matters more than 0.025 of accuracy."
    )


def test_a_tie_goes_to_the_simpler_one():
    result = verdict(candidate("forest", 0.853, seconds=9, phase=3), SIMPLE, BASE)
    assert (result.call, result.best, result.rival, result.take) == ("tie", "forest", "ridge", "ridge")
    assert "forest and ridge are practically equal: accuracy 0.853 against 0.850." in result.words
    assert result.words.endswith("Of equal models the simpler one is preferred: use ridge.")


def test_a_tie_that_the_best_one_is_simpler_in():
    result = verdict(candidate("forest", 0.847, seconds=9, phase=3), SIMPLE)
    assert (result.call, result.best, result.rival, result.take) == ("tie", "ridge", "forest", "ridge")


def test_an_unclear_comparison_goes_to_the_simpler_one_with_the_probabilities():
    forest = candidate("forest", 0.862, seconds=9, phase=3, spread=0.02)
    result = verdict(forest, SIMPLE, BASE, rows=1000)
    assert (result.call, result.best, result.rival, result.take) == ("unclear", "forest", "ridge", "ridge")
    pair = correlated_t_test(np.subtract(forest.scores, SIMPLE.scores), test_share=0.2, rope=0.01)
    assert result.between("forest", "ridge") == pair
    assert (
        f"with a probability of {round(100 * pair.better)} %, ridge with {round(100 * pair.worse)} %, and they" in result.words
    )
    needed = rows_needed(np.subtract(forest.scores, SIMPLE.scores), rows=1000, test_share=0.2, rope=0.01)
    assert needed is not None
    assert result.rows_needed == needed
    assert "With 1,000 rows this is not conclusive: forest is better by more than 0.01 (" in result.words
    assert (
        "Use ridge, the simpler model, until forest is shown to be better; if the score matters more to you, use forest."
        in result.words
    )
    result = verdict(
        candidate("forest", 0.860, seconds=9, phase=3, spread=0.02), candidate("ridge", 0.85, seconds=0.1, spread=0, rank=1)
    )
    assert result.rows_needed is None
    assert "Even 100 times as many rows would probably not decide it." in result.words


def test_models_that_are_about_equally_complex_leave_it_to_the_score():
    better, smaller = candidate("wide", 0.853, parameters=140, phase=3), candidate("narrow", 0.85)
    result = verdict(better, smaller)
    assert (result.call, result.take) == ("tie", "wide")
    assert result.words.endswith("They are about equally complex: use wide, which scores better.")
    assert verdict(better, smaller, candidate("slim", 0.849, parameters=95, phase=2)).take == "wide"
    assert verdict(better, smaller, candidate("tiny", 0.849, parameters=90, phase=2)).take == "narrow"


def test_simpler_is_the_family_first_and_the_size_only_within_it():
    large, small = candidate("linear", 0.85, rank=1, parameters=9_000, phase=3), candidate("net", 0.85, rank=8, parameters=10)
    assert verdict(large, small).take == "linear"
    assert large.simpler_than(small)
    assert not small.simpler_than(large)
    assert verdict(candidate("many", 0.853, parameters=5_000, phase=3), candidate("few", 0.85)).take == "few"


def test_identical_candidates_are_a_tie_and_size_then_order_decide():
    result = verdict(
        candidate("a", 0.8, rank=8),
        candidate("b", 0.8),
        candidate("c", 0.8, parameters=50),
        candidate("d", 0.8, parameters=50),
    )
    assert (result.call, result.take) == ("tie", "c")
    assert {pair.difference.equal for pair in result.pairs} == {1.0}
    words = verdict(candidate("a", 0.8), candidate("b", 0.8)).words
    assert words.endswith("They are about equally complex: use a, the first.")
    assert "a and c have exactly the same scores: accuracy 0.800. Not clearly worse: b, d." in result.words


def test_better_but_perhaps_not_by_enough():
    result = verdict(candidate("forest", 0.865, seconds=9, phase=3, spread=0.014), SIMPLE)
    assert result.call == "unclear"
    assert result.between("forest", "ridge").low > 0
    assert "It is almost certainly better, but 5,000 rows are too few to decide whether by more than 0.01" in result.words


def test_the_rival_is_the_nearest_that_is_not_beaten():
    near, far = (
        candidate("near", 0.849, seconds=9, phase=3, spread=0.03),
        candidate("far", 0.845, seconds=9, spread=0.03, phase=2),
    )
    beaten = candidate("beaten", 0.8, seconds=9)
    for others in ((near, far, beaten), (beaten, far, near)):
        result = verdict(SIMPLE, *others)
        assert (result.call, result.take, result.rival) == ("unclear", "ridge", "near")
        assert "Not clearly worse: far." in result.words


def test_one_that_may_be_as_good_keeps_the_best_from_winning_though_others_are_nearer():
    near, wild = candidate("near", 0.83, seconds=9, phase=3), candidate("wild", 0.82, seconds=9, phase=3, spread=0.08)
    result = verdict(SIMPLE, near, wild)
    assert result.between("ridge", "near").better > 0.95
    assert (result.call, result.rival) == ("unclear", "wild")


def test_more_rivals_as_good():
    result = verdict(candidate("forest", 0.853, seconds=9, phase=3), SIMPLE, candidate("net", 0.851, seconds=99, phase=7), BASE)
    assert (result.call, result.take) == ("tie", "ridge")
    assert "Not clearly worse: net." in result.words


@pytest.mark.parametrize("name", ["log_loss", "rmse", "mae"])
def test_less_is_better_for_errors(name):
    result = verdict(candidate("good", 0.3, seconds=9), candidate("bad", 0.4, phase=2), metric=name)
    assert (result.call, result.best) == ("wins", "good")
    assert result.between("good", "bad").mean == pytest.approx(0.1, abs=0.001)
    assert f"{METRICS[name].title} (lower is better) 0.30" in result.words


def test_the_rope_of_an_error_is_a_share_of_the_best_score():
    candidates = [candidate("good", 0.5), candidate("bad", 0.7, phase=2)]
    mean = np.mean(candidates[0].scores)
    assert verdict(*candidates, metric="rmse").rope == pytest.approx(0.02 * mean)
    assert verdict(*candidates, metric="log_loss").rope == 0.01
    assert verdict(*candidates, metric="rmse", rope=0.3).call == "tie"


def test_a_higher_probability_needs_more_evidence():
    a, b = candidate("a", 0.87, seconds=9, spread=0.011, phase=3), candidate("b", 0.85)
    better = verdict(a, b).between("a", "b").better
    assert 0.95 < better < 0.999
    assert (verdict(a, b).call, verdict(a, b, sure=0.999).call) == ("wins", "unclear")


# ---------------------------------------------------------------- nothing learnt
def test_the_baseline_is_recommended_where_nothing_beats_it():
    result = verdict(candidate("forest", 0.602, seconds=9), candidate("ridge", 0.6), BASE)
    assert (result.call, result.best, result.rival, result.take) == ("nothing learnt", "forest", BASELINE, BASELINE)
    assert result.words.startswith("No model is better than baseline, which ignores all columns. The best of them is forest: ")
    assert result.words.endswith("Use baseline, or add columns that predict the target.")
    result = verdict(candidate("forest", 0.5), BASE)
    assert result.call == "nothing learnt"
    assert "is less than 1 %" in result.words


def test_more_rows_are_suggested_where_the_baseline_may_be_beaten():
    result = verdict(candidate("forest", 0.63, spread=0.05), BASE, rows=150)
    assert (result.call, result.take) == ("nothing learnt", BASELINE)
    assert result.words.startswith("No model is clearly better than baseline")
    assert result.rows_needed is not None
    assert "rows instead of 150 might decide it." in result.words


def test_constant_predictions_are_the_baseline_by_another_name():
    result = verdict(Candidate("net", BASE.scores, 5.0, 2.0, 100), BASE)
    assert (result.call, result.take) == ("nothing learnt", BASELINE)


def test_the_baseline_is_beaten_by_one_and_not_taken_by_the_others():
    """The best mean is too unsteady to beat the baseline for sure; a simpler and steadier one does."""
    wild, steady = candidate("wild", 0.66, spread=0.15, rank=8), candidate("steady", 0.64)
    result = verdict(wild, steady, BASE)
    assert result.between("wild", BASELINE).better < 0.95
    assert (result.best, result.take, result.call) == ("wild", "steady", "unclear")


def test_one_candidate_beside_the_baseline():
    result = verdict(candidate("forest", 0.8), BASE)
    assert (result.call, result.rival, result.take) == ("wins", BASELINE, "forest")
    assert result.words.endswith("forest fits in 1 s and predicts a row in 1 µs. Use forest.")


def test_the_baseline_may_have_another_name_or_none():
    mean = Candidate("mean", BASE.scores, 0.001, 0.01, 10)
    assert verdict(candidate("forest", 0.602), mean, baseline="mean").call == "nothing learnt"
    assert verdict(candidate("forest", 0.602), mean).call == "unclear"


# ---------------------------------------------------------------- folds that are missing
def test_those_that_failed_are_named_with_the_reason():
    out = Candidate("net", (), 0.0, 0.0, 0, "out of time after 30 s")
    result = verdict(candidate("forest", 0.875, phase=3), SIMPLE, out, BASE)
    assert result.call == "wins"
    assert result.words.endswith("Not compared: net (out of time after 30 s).")
    assert not any("net" in (pair.first, pair.second) for pair in result.pairs)


def test_all_failed():
    result = verdict(Candidate("a", (), 0, 0, 0, "out of memory"), Candidate("b", (math.nan,) * 5, 0, 0, 0))
    assert (result.call, result.best, result.take, result.pairs) == ("failed", "", "", ())
    assert result.words == "No verdict: no candidate has a score (a: out of memory; b: no scores)."
    assert verdict().words == "No verdict: no candidate has a score."
    assert verdict(Candidate("a", (), 0, 0, 0), metric="rmse").call == "failed"


def test_a_single_one_has_scores():
    result = verdict(candidate("forest", 0.8, folds=2), Candidate("b", (), 0, 0, 0, "no memory"))
    assert (result.call, result.best, result.take) == ("alone", "forest", "forest")
    assert result.words.startswith("No verdict: only forest (accuracy 0.8")
    assert verdict(BASE).call == "alone"


def test_too_few_folds_in_common():
    result = verdict(candidate("a", 0.7, folds=2), candidate("b", 0.8, folds=5), rows=100)
    assert (result.call, result.take) == ("too few folds", "b")
    assert "no two candidates finished 3 folds in common" in result.words
    result = verdict(candidate("a", 0.7, folds=2), candidate("b", 0.8, folds=2), rows=100)
    assert result.words.startswith("No verdict: 2 folds cannot show how much scores vary; at least 3 are needed.")
    assert "No verdict: 1 fold cannot" in verdict(candidate("a", 0.7, folds=1), candidate("b", 0.8, folds=1)).words
    gaps = Candidate("gaps", (math.nan, math.nan, 0.9, 0.9), 1, 1, 1)
    assert verdict(gaps, candidate("b", 0.8, folds=4)).call == "too few folds"


def test_only_folds_that_both_finished_are_compared():
    """The net saw the easy folds only: its mean is higher, and on the same folds it is worse."""
    easy = [0.95, 0.94, 0.96, 0.95]
    forest = Candidate("forest", (*easy, 0.6, 0.61, 0.6, 0.62), 9.0, 1.0, 100)
    net = Candidate("net", tuple(np.subtract(easy, (0.05, 0.051, 0.049, 0.05))), 1.0, 1.0, 100, "out of time")
    assert np.mean(net.scores) > np.mean(forest.scores)
    result = verdict(forest, net, rows=1000)
    assert (result.best, result.call, result.take) == ("forest", "wins", "forest")
    assert [pair.folds for pair in result.pairs] == [4]
    assert "accuracy 0.950 against 0.900 for net" in result.words
    assert result.words.endswith("Compared on the folds that they finished: net (4 of 8 folds, out of time).")


def test_a_candidate_without_common_folds_is_not_the_best():
    """It finished the most folds, but none that the baseline finished; the other beats the baseline."""
    gap = math.nan
    alone = Candidate("alone", (gap, gap, gap, 0.9, 0.9, 0.9, 0.9), 1.0, 1.0, 1)
    met, base = Candidate("met", (0.8, 0.8, 0.81), 1.0, 1.0, 1), Candidate(BASELINE, (0.5, 0.5, 0.5), 0.0, 0.0, 1)
    result = verdict(alone, met, base)
    assert (result.best, result.call, result.take) == ("met", "wins", "met")
    assert (
        "Not compared: alone (4 of 7 folds). Compared on the folds that they finished: met, baseline (3 of 7 folds)"
        in result.words
    )


def test_one_that_did_not_finish_is_not_taken_in_place_of_one_that_did():
    simple = candidate("simple", 0.849, folds=5, rank=1, phase=3, failed="out of memory")
    result = verdict(candidate("forest", 0.85, seconds=9), simple)
    assert result.between("forest", "simple").better < 0.95
    assert (result.best, result.take) == ("forest", "forest")
    assert "simple is simpler, but did not finish every fold: use forest." in result.words


def test_scores_beyond_all_bounds_count_as_missing():
    scores = candidate("net", 0.5, phase=3).scores
    broken = Candidate("net", (-math.inf, math.nan, *scores[2:]), 1.0, 1.0, 100)
    result = verdict(candidate("forest", 0.85), broken, metric="r2")
    assert result.call == "wins"
    assert [pair.folds for pair in result.pairs] == [13]


# ---------------------------------------------------------------- the whole
def test_json_both_ways():
    for result in (verdict(candidate("forest", 0.862, phase=3, spread=0.02), SIMPLE, BASE), verdict()):
        assert Verdict.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == result


def test_pairs_are_seen_from_either_side():
    result = verdict(SIMPLE, candidate("forest", 0.875, phase=3), BASE)
    assert len(result.pairs) == 3
    assert all(pair.difference.mean >= 0 for pair in result.pairs)
    assert result.between("ridge", "forest").worse == result.between("forest", "ridge").better
    with pytest.raises(KeyError):
        result.between("ridge", "nobody")


def test_two_candidates_of_one_name():
    with pytest.raises(OptionError, match="2 candidates are called 'ridge'; give each a different name"):
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


@settings(max_examples=150)
@given(ANY, st.sampled_from(["accuracy", "rmse"]), st.booleans())
def test_invariants_for_any_scores(drawn, metric, with_baseline):
    names = [BASELINE if with_baseline and not place else f"c{place}" for place in range(len(drawn))]
    candidates = [Candidate(name, tuple(scores), *rest) for name, (scores, *rest) in zip(names, drawn, strict=True)]
    result = verdict(*candidates, metric=metric, rows=100)
    assert result.call in CALLS
    assert {result.best, result.take, result.rival} <= {*names, ""}
    assert result.words.endswith(".")
    assert not {"nan", "inf", "None", "-0.000"} & set(result.words.replace(";", " ").split())
    json.dumps(result.to_json(), allow_nan=False)
    assert Verdict.from_json(result.to_json()) == result
    if result.call in ("wins", "tie", "unclear") and result.take != result.best:
        complexity = {each.name: each.complexity for each in candidates}
        assert complexity[result.take] <= complexity[result.best]
        assert result.between(result.best, result.take).better < 0.95
    assert decide(candidates[::-1], metric=METRICS[metric], rows=100, test_share=0.2).call in CALLS


def advice(result):
    """A verdict without its sentence about measured times."""
    words = [each for each in re.split(r"(?<=\.) ", result.words) if " fits in " not in each]
    return dataclasses.replace(result, words=" ".join(words))


@settings(max_examples=150)
@given(ANY, FACTORS, st.sampled_from(["accuracy", "rmse"]), st.booleans())
def test_measured_times_do_not_change_the_recommendation(drawn, factors, metric, with_baseline):
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
    result = verdict(*(Candidate(name, tuple(scores.tolist()), 1.0, 9.0, 100) for name, scores in runs.items()), rows=len(y))
    assert result.call in ("tie", "unclear")
    assert {result.best, result.rival} == {"forest 1", "forest 2"}
    assert result.between(result.best, "half the columns").better > 0.95
