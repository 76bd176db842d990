"""Learning-rate factors at the steps where a mistake of one would show."""

from __future__ import annotations

import math

import pytest


def _at(schedule, step: int, per_epoch: int = 10, total: int = 100) -> float:
    import tensorflow as tf

    return float(schedule.factor(per_epoch, total)(tf.constant(step, tf.int64)))


def test_constant_is_one() -> None:
    from pipeline.training.schedules import Constant

    assert [_at(Constant(), s) for s in (0, 50, 99)] == [1.0, 1.0, 1.0]


def test_warmup_rises_linearly_and_ends_at_the_full_rate() -> None:
    from pipeline.training.schedules import Constant

    schedule = Constant(warmup="10 steps")
    assert [round(_at(schedule, s), 6) for s in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]


def test_cosine_runs_from_one_to_final_over_what_is_left_after_the_warmup() -> None:
    from pipeline.training.schedules import Cosine

    schedule = Cosine(warmup="20 percent", final=0.2)
    assert _at(schedule, 20) == pytest.approx(1.0)
    assert _at(schedule, 60) == pytest.approx(0.6)  # half of the 80 steps: (1 + 0.2) / 2
    assert _at(schedule, 100) == pytest.approx(0.2)
    assert _at(schedule, 40) == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi / 4)))


def test_linear_is_halfway_at_half_the_steps() -> None:
    from pipeline.training.schedules import Linear

    assert _at(Linear(final=0.0), 50) == pytest.approx(0.5)


def test_exponential_decays_by_its_factor_each_period() -> None:
    from pipeline.training.schedules import Exponential

    schedule = Exponential(decay=0.5, every="2 epochs")
    assert [round(_at(schedule, s), 6) for s in (0, 20, 40)] == [1.0, 0.5, 0.25]


def test_piecewise_changes_at_its_boundaries() -> None:
    from pipeline.training.schedules import Piecewise

    schedule = Piecewise(boundaries=["3 epochs", "60 steps"], factors=[1.0, 0.1, 0.01])
    found = [round(_at(schedule, s), 6) for s in (0, 29, 30, 59, 60, 99)]
    assert found == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]


def test_piecewise_says_how_many_factors_it_needs() -> None:
    from pipeline.training.schedules import Piecewise

    with pytest.raises(ValueError, match="1 boundaries need 2 factors, got 1"):
        Piecewise(boundaries=["3 epochs"], factors=[1.0])
