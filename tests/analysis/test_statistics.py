"""Differences over seeds: against SciPy on numbers made by hand, and the errors that are promised
by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis import statistics
from pipeline.analysis.statistics import compare, holm, judge, power, seeds_needed

D3 = [0.011, 0.004, 0.007]
D8 = [0.3, -0.1, 0.25, 0.4, 0.05, 0.31, -0.02, 0.2]


def sides(differences: list[float] | np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """A and B by seed, whose differences these are."""
    a = {str(seed): 1.0 + seed / 8 for seed in range(len(differences))}
    return a, {seed: a[seed] + float(d) for seed, d in zip(a, differences, strict=True)}


# One metric --------------------------------------------------------------------------------------


def test_three_seeds_are_tested_by_the_paired_t_test() -> None:
    a, b = sides(D3)
    found = compare("loss", a, b)
    expected = stats.ttest_rel(list(b.values()), list(a.values()))
    assert found.test == "paired t"
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert found.difference == pytest.approx(np.mean(D3))
    assert found.deviation == pytest.approx(np.std(D3, ddof=1))
    assert found.mean_b - found.mean_a == pytest.approx(found.difference)
    assert not found.larger
    assert found.verdict == "not larger than seed noise with 3 seeds"


def test_eight_seeds_are_tested_by_all_sign_flips() -> None:
    found = compare("loss", *sides(D8))
    expected = stats.permutation_test(
        (np.array(D8),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert found.test == "sign flips"
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.p == 12 / 256


def test_sign_flips_need_six_seeds_which_must_then_agree() -> None:
    agreeing = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    found = compare("loss", *sides(agreeing))
    assert (found.test, found.p, found.larger) == ("sign flips", 2 / 64, True)
    assert found.verdict == "larger than seed noise"
    assert (found.needed, found.advice) == (None, "")
    assert found.interval == pytest.approx((0.1, 0.6))
    assert compare("loss", *sides(agreeing[:5])).test == "paired t"
    assert not compare("loss", *sides([-0.1, *agreeing[1:]])).larger


def test_many_seeds_are_tested_by_t_again() -> None:
    random = np.random.default_rng(0)
    for count, test in ((16, "sign flips"), (17, "paired t")):
        found = compare("loss", *sides(random.normal(0.1, 1.0, count)))
        assert found.test == test
        assert found.interval is not None


@pytest.mark.parametrize("count", [6, 7, 9, 12])
def test_the_interval_leaves_out_zero_where_the_test_does(count: int) -> None:
    random = np.random.default_rng(count)
    both = set()
    for _ in range(100):
        found = compare("loss", *sides(random.normal(0.6, 1.0, count)))
        assert found.interval is not None
        low, high = found.interval
        assert found.larger == (low > 0 or high < 0)
        both.add(found.larger)
    assert both == {True, False}


def test_the_interval_of_sign_flips_is_what_the_test_does_not_rule_out() -> None:
    d = np.array(D8)
    low, high = statistics.sign_flip_interval(d)
    for end, inward in ((low, 1e-9), (high, -1e-9)):
        assert statistics.sign_flip_test(d - (end + inward)) > 0.05
        assert statistics.sign_flip_test(d - (end - inward)) <= 0.05


def test_seeds_that_one_side_lacks_or_that_are_not_finite_are_left_out() -> None:
    a = {"0": 1.0, "1": 2.0, "2": 3.0, "10": 4.0, "3": math.nan}
    b = {"0": 1.5, "2": 3.25, "10": 4.5, "3": 1.0, "7": math.inf}
    found = compare("loss", a, b)
    assert found.seeds == ("0", "2", "10")
    assert found.alone == ("1", "3", "7")
    assert found.mean_a == pytest.approx(8 / 3)
    assert found.difference == pytest.approx((0.5 + 0.25 + 0.5) / 3)


def test_one_pair_is_never_larger_than_noise() -> None:
    found = compare("loss", {"0": 1.0}, {"0": 99.0})
    assert (found.test, found.p, found.interval, found.deviation) == (None, None, None, None)
    assert found.verdict == "not larger than seed noise with 1 seed"
    assert found.needed is None
    assert "run at least 3 seeds on both sides" in found.advice


def test_without_a_shared_seed_each_side_shows_its_own_mean() -> None:
    found = compare("loss", {"0": 1.0, "1": 2.0}, {"2": 5.0})
    assert (found.mean_a, found.mean_b) == (1.5, 5.0)
    assert math.isnan(found.difference)
    assert found.verdict == "not larger than seed noise with 0 seeds"
    assert "no seed is shared" in found.advice


def test_the_same_values_on_both_sides_are_no_difference() -> None:
    found = compare("loss", {"0": 0.1, "1": 0.2, "2": 0.3}, {"0": 0.1, "1": 0.2, "2": 0.3})
    assert (found.p, found.larger, found.deviation, found.needed) == (1.0, False, 0.0, None)
    assert found.advice == "no number of seeds would settle it, were this the difference"


def test_differences_without_spread_are_judged_by_their_signs() -> None:
    """An accuracy of few examples moves in steps: three equal steps say little."""
    a = {str(seed): 0.9 + seed / 360 for seed in range(6)}
    b = {seed: value + 1 / 360 for seed, value in a.items()}
    few = compare("accuracy", dict(list(a.items())[:3]), b)
    assert (few.test, few.p, few.larger, few.needed) == ("sign flips", 0.25, False, 6)
    assert (few.deviation, few.interval) == (0.0, None)
    assert "6 such seeds would settle it" in few.advice
    all_six = compare("accuracy", a, b)
    assert (all_six.p, all_six.larger) == (2 / 64, True)
    many = {str(seed): float(seed) for seed in range(40)}
    assert compare("x", many, {s: v + 1 for s, v in many.items()}).p == 2.0**-39


# How many seeds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("effect", "seeds"), [(2.0, 4), (1.0, 10), (0.5, 33), (0.2, 198)])
def test_power_is_that_of_the_t_test(effect: float, seeds: int) -> None:
    """Cohen (1988) and G*Power give 10, 34 and 199 pairs for 80 % at 1, 0.5 and 0.2."""
    freedom, shift = seeds - 1, effect * math.sqrt(seeds)
    if statistics.flips_reach(seeds):
        level = 2 * math.floor(0.025 * 2**seeds) / 2**seeds
    else:
        level = 0.05
    critical = stats.t.ppf(1 - level / 2, freedom)
    expected = stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift)
    assert power(effect, seeds) == pytest.approx(expected, abs=1e-9)


def test_power_is_a_probability_however_large_the_effect() -> None:
    for seeds in (2, 3, 17, 100, 400, 1000):
        powers = [power(effect, seeds) for effect in (0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 100.0)]
        assert powers == sorted(powers)
        assert powers[0] == pytest.approx(0.05)
        assert powers[-1] == pytest.approx(1.0, abs=1e-9)


def test_seeds_needed_are_those_of_the_tables_and_are_capped() -> None:
    assert [seeds_needed(effect) for effect in (0.5, 0.2, 0.1)] == [34, 199, 787]
    assert seeds_needed(-0.5) == 34
    assert seeds_needed(0.08) is None
    found = compare("loss", *sides([1.0, -1.0, 0.01]))
    assert (found.needed, found.advice) == (
        None,
        "more than 1,000 seeds would settle it, were this the difference",
    )


def test_needed_seeds_are_more_than_there_are_and_would_do() -> None:
    found = compare("loss", *sides([0.2, 0.1, -0.02]))
    assert found.deviation is not None
    assert found.needed is not None
    assert found.needed > 3
    effect = found.difference / found.deviation
    assert power(effect, found.needed) >= 0.8 > power(effect, found.needed - 1)
    assert found.advice == f"about {found.needed} seeds would settle it, were this the difference"


@pytest.mark.parametrize(("effect", "seeds"), [(1.5, 7), (1.2, 8), (1.0, 12), (2.0, 5)])
@pytest.mark.slow
def test_power_is_how_often_the_difference_is_found(effect: float, seeds: int) -> None:
    random = np.random.default_rng(seeds)
    runs = 800
    found = [compare("m", *sides(random.normal(effect, 1, seeds))).larger for _ in range(runs)]
    assert np.mean(found) == pytest.approx(power(effect, seeds), abs=0.05)


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "rate"), [(3, 0.05), (5, 0.05), (6, 2 / 64), (8, 12 / 256)])
@pytest.mark.slow
def test_nothing_is_called_larger_in_one_of_twenty(seeds: int, rate: float) -> None:
    random = np.random.default_rng(seeds)
    runs = 1500
    found = [compare("loss", *sides(d)) for d in random.normal(0, 1, (runs, seeds))]
    false = np.mean([each.larger for each in found])
    assert false == pytest.approx(rate, abs=4 * math.sqrt(rate / runs))
    covered = np.mean([each.interval[0] <= 0 <= each.interval[1] for each in found])  # type: ignore[index]
    assert covered == 1 - false


@pytest.mark.slow
def test_of_many_metrics_one_is_called_larger_in_one_comparison_of_twenty() -> None:
    random = np.random.default_rng(1)
    runs, wrong, raw = 400, 0, 0
    for _ in range(runs):
        values = {f"m{i}": sides(random.normal(0, 1, 4)) for i in range(8)}
        wrong += any(each.larger for each in judge(values, None))
        raw += any(compare(name, *pair).larger for name, pair in values.items())
    assert wrong / runs == pytest.approx(0.05, abs=0.035)
    assert raw / runs > 0.25


def test_holm_raises_p_values_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.5]) == [pytest.approx(0.03), None, 1.0]
    assert holm([]) == []


def test_the_objective_is_decided_on_alone_and_the_others_together() -> None:
    d = [0.10, 0.11, 0.145]
    values = {"best/val/accuracy": sides(d), "test/accuracy": sides(d), "test/loss": sides(D3)}
    alone = compare("x", *sides(d)).p
    assert alone is not None
    objective, accuracy, loss = judge(values, "best/val/accuracy")
    assert objective.p == alone
    assert accuracy.p == pytest.approx(2 * alone)
    assert loss.p is not None
    assert loss.p == pytest.approx(compare("x", *sides(D3)).p)  # the largest is not raised
    assert [each.larger for each in (objective, accuracy, loss)] == [True, True, False]


def test_sign_flips_of_several_metrics_need_more_seeds() -> None:
    """With two metrics p has to reach 0.025 for one of them to count: six seeds cannot."""
    d6, d7 = [0.1 * n for n in range(1, 7)], [0.1 * n for n in range(1, 8)]
    assert judge({"a": sides(d6), "b": sides(d6)}, None)[0].test == "paired t"
    assert judge({"a": sides(d7), "b": sides(d7)}, None)[0].test == "sign flips"
