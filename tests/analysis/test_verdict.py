"""What is said of two histories: the same, the same but for rounding, or different from where."""

from __future__ import annotations

import math

import pytest

from pipeline.analysis.verdict import Difference, Verdict, compare

LOSS = [(10, 2.0), (20, 1.0), (30, 0.5)]
RUN = {"train/loss": LOSS, "val/loss": [(20, 1.1)], "speed/step_ms": [(20, 3.0)]}
WEIGHTS = {"sha256/best": "aa", "sha256/last": "bb"}


def judged(recorded, now, **options) -> Verdict:
    return compare(recorded, now, recorded_weights=WEIGHTS, weights_now=WEIGHTS, **options)


def test_the_same_points_and_weights_are_bit_identical_whatever_the_speed() -> None:
    found = judged(RUN, {**RUN, "speed/step_ms": [(21, 9.0)], "system/cpu": [(0, 1.0)]})
    assert found.identical
    assert str(found) == "bit-identical"
    assert (found.points, found.metrics, found.weights) == (4, 2, True)


def test_the_order_in_which_points_come_does_not_matter() -> None:
    assert judged(RUN, {key: RUN[key][::-1] for key in reversed(RUN)}).identical


def test_a_metric_without_points_counts_for_nothing() -> None:
    empty = {**RUN, "val/accuracy": []}
    for recorded, now in ((empty, RUN), (RUN, empty)):
        found = judged(recorded, now, unfinished=True)
        assert (found.identical, found.metrics) == (True, 2)


def test_nan_equals_nan_and_nothing_else() -> None:
    broken = {"train/loss": [(10, 2.0), (20, math.nan)]}
    assert judged(broken, {"train/loss": [(10, 2.0), (20, math.nan)]}).identical
    found = judged(broken, {"train/loss": [(10, 2.0), (20, 1.0)]})
    assert str(found) == "different from step 20 of train/loss on"
    assert str(found.first) == "train/loss at step 20: nan recorded, 1 now"


def test_the_last_bit_of_one_value_is_equal_to_a_stated_tolerance() -> None:
    bit = math.nextafter(1.0, 2.0)
    found = judged(RUN, {**RUN, "train/loss": [(10, 2.0), (20, bit), (30, 0.5)]})
    assert not found.identical
    assert found.largest == Difference("train/loss", 20, 1.0, bit)
    assert str(found) == "equal to 2.3e-16"


@pytest.mark.parametrize(
    ("relative", "stated"), [(1.21e-5, "1.3e-05"), (2e-4, "2.0e-04"), (9.99e-6, "1.0e-05")]
)
def test_a_stated_tolerance_is_rounded_up(relative: float, stated: str) -> None:
    found = judged({"train/loss": [(1, 1.0)]}, {"train/loss": [(1, 1.0 - relative)]})
    assert found.largest is not None
    assert str(found) == f"equal to {stated}"
    assert found.largest.relative <= float(stated)


def test_beyond_the_tolerance_it_is_different_from_the_first_such_step_on() -> None:
    now = {"train/loss": [(10, 2.001), (20, 1.02), (30, 0.4)], "val/loss": [(20, 1.2)]}
    found = judged(RUN, now)
    assert found.first == Difference("train/loss", 20, 1.0, 1.02)  # 0.0005 at step 10 is within
    assert found.largest == Difference("train/loss", 30, 0.5, 0.4)
    assert str(found) == "different from step 20 of train/loss on"
    assert str(judged(RUN, now, tolerance=0)) == "different from step 10 of train/loss on"
    assert str(judged(RUN, now, tolerance=0.2)) == "equal to 2.0e-01"


def test_a_point_that_is_missing_or_extra_is_a_difference() -> None:
    short = {**RUN, "train/loss": LOSS[:2]}
    missing, extra = judged(RUN, short), judged(short, RUN)
    assert str(missing) == str(extra) == "different from step 30 of train/loss on"
    assert str(missing.first) == "train/loss at step 30: 0.5 recorded, no point now"
    assert str(extra.first) == "train/loss at step 30: no point recorded, 0.5 now"
    assert missing.largest is None


def test_a_point_that_occurs_twice_is_a_difference() -> None:
    found = judged(RUN, {**RUN, "val/loss": [(20, 1.1), (20, 1.1)]})
    assert found.first == Difference("val/loss", 20, None, 1.1)


def test_a_metric_that_only_one_run_has_is_a_difference() -> None:
    assert str(judged(RUN, {"train/loss": LOSS})) == "different from step 20 of val/loss on"
    assert str(judged(RUN, {**RUN, "a": [(5, 0.0)]})) == "different from step 5 of a on"


def test_at_one_step_training_comes_before_what_is_measured_of_it() -> None:
    keys = ("best/val/loss", "test/loss", "train/loss", "val/loss")
    found = judged({key: [(20, 1.0)] for key in keys}, {key: [(20, 2.0)] for key in keys})
    assert found.first == Difference("train/loss", 20, 1.0, 2.0)
    found = judged({"best/a": [(7, 1.0)], "val/a": [(7, 1.0)]}, {})
    assert found.first == Difference("val/a", 7, 1.0, None)


def test_other_weights_under_the_same_history_are_not_identical() -> None:
    other = {**WEIGHTS, "sha256/best": "cc"}
    for now in (other, {"sha256/last": "bb"}, {}):
        found = compare(RUN, RUN, recorded_weights=WEIGHTS, weights_now=now)
        assert found.weights is False
        assert not found.identical
        assert str(found) == "equal in every point, but not in the weights"


def test_a_record_without_digests_is_judged_by_its_history() -> None:
    found = compare(RUN, RUN, weights_now=WEIGHTS)
    assert found.weights is None
    assert found.identical


def test_an_unfinished_record_is_compared_as_far_as_each_metric_goes() -> None:
    cut = {"train/loss": LOSS[:2]}  # killed before val/loss of step 20 was kept
    assert judged(cut, RUN, unfinished=True).identical
    assert str(judged(cut, RUN)) == "different from step 20 of val/loss on"
    wrong = {**RUN, "train/loss": [(10, 2.0), (20, 9.0), (30, 0.5)]}
    found = judged(cut, wrong, unfinished=True)
    assert str(found) == "different from step 20 of train/loss on"
    early = judged(cut, {"train/loss": LOSS[:1]}, unfinished=True)
    assert str(early) == "different from step 20 of train/loss on"


def test_an_improvement_that_rounding_moves_is_no_difference_of_its_own() -> None:
    near = 0.9 * (1 + 1e-9)
    recorded = {"val/accuracy": [(1, 0.9), (2, 0.9)], "best/val/accuracy": [(1, 0.9)]}
    now = {
        "val/accuracy": [(1, 0.9), (2, near)],
        "best/val/accuracy": [(1, 0.9), (2, near)],
    }
    assert str(judged(recorded, now)) == "equal to 1.1e-09"
    # Where the metric itself is the same so far, a point too many cannot come of rounding.
    lost = {**recorded, "best/val/accuracy": [(1, 0.9), (2, 0.9)]}
    assert str(judged(recorded, lost)) == "different from step 2 of best/val/accuracy on"
    moved = {**now, "best/val/accuracy": [(1, 0.8), (2, near)]}
    assert str(judged(recorded, moved)) == "different from step 1 of best/val/accuracy on"
