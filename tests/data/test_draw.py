"""Random numbers belong to positions in the global batch, and come out of XLA alike."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipeline.data.draw import Draw

BATCH = 12
KINDS = {
    "uniform": lambda draw: draw.uniform((3,), -2.0, 5.0),
    "one a row": lambda draw: draw.uniform(),
    "integers": lambda draw: draw.integers(7, (2, 2)),
    "normal": lambda draw: draw.normal((5,)),  # odd: numbers are made in pairs
}


def draw(positions: np.ndarray | None = None, seed: int = 0, step: int = 0, batch: int = BATCH):
    positions = np.arange(batch, dtype=np.int32) if positions is None else positions
    return Draw(tf.constant([seed, step], tf.int64), tf.constant(positions, tf.int32), batch)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_the_batch_gets_its_rows_of_the_whole(kind: str) -> None:
    whole = KINDS[kind](draw()).numpy()
    for part in (np.arange(6), np.arange(6, 12), np.array([5]), np.array([11, 0, 3])):
        np.testing.assert_array_equal(KINDS[kind](draw(part)), whole[part])


@pytest.mark.parametrize("kind", KINDS)
def test_xla_draws_the_same(kind: str) -> None:
    """TensorFlow's own fractions would differ: XLA makes them of other bits."""
    compiled = tf.function(lambda: KINDS[kind](draw()), jit_compile=True)()
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if kind == "normal" else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(compiled, KINDS[kind](draw()), **tolerance)


def test_seed_step_and_name_make_other_numbers_and_the_same_question_the_same() -> None:
    base = draw()
    asked = [
        base,
        base.named("a"),
        base.named("b"),
        base.named("a").named("b"),
        base.named("b").named("a"),
        draw(seed=1),
        draw(step=1),
        draw(seed=1, step=1).named("a"),
    ]
    rows = np.stack([one.uniform((50,)).numpy().ravel() for one in asked])
    assert np.abs(np.corrcoef(rows) - np.eye(len(rows))).max() < 0.15  # 600 numbers each
    again = draw().named("a").named("b").uniform((50,)).numpy().ravel()
    np.testing.assert_array_equal(again, rows[3])


def test_shapes_and_dtypes() -> None:
    assert draw(np.array([3, 4])).uniform((2, 5)).shape == [2, 2, 5]
    assert draw().normal((4, 4, 1)).shape == [BATCH, 4, 4, 1]
    assert draw().normal().shape == [BATCH]
    assert draw().integers(2).dtype == tf.int32
    assert draw().normal().dtype == draw().uniform().dtype == tf.float32


def test_uniform_numbers_are_uniform_within_their_bounds() -> None:
    numbers = draw(batch=400).uniform((50,), -3.0, 1.0).numpy().ravel()
    assert numbers.min() >= -3.0
    assert numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform", (-3.0, 4.0)).pvalue > 0.01


def test_integers_are_all_equally_likely() -> None:
    numbers = draw(batch=400).integers(7, (50,)).numpy().ravel()
    counts = np.bincount(numbers, minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > 0.01


def test_normal_numbers_are_normal_and_independent() -> None:
    numbers = draw(batch=400).normal((51,)).numpy()
    assert np.isfinite(numbers).all()
    assert stats.kstest(numbers.ravel(), "norm").pvalue > 0.01
    between = np.corrcoef(numbers.T) - np.eye(51)
    assert np.abs(between).max() < 0.25  # 1275 pairs of 400: five deviations
    # Of one pair of uniform numbers come two normal ones, whose squares are independent as well.
    assert np.abs(np.corrcoef(numbers.T**2) - np.eye(51)).max() < 0.3
