"""Shifts in time, hidden tokens, noise."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.augment import Noise, TimeShift, TokenDropout
from pipeline.data.draw import Draw

BATCH = 200


def run(step, x: np.ndarray) -> np.ndarray:
    draw = Draw(tf.constant([0, 0], tf.int64), tf.range(len(x)), len(x))
    return step(tf.constant(x), draw).numpy()


@pytest.mark.parametrize("features", [(), (2,), (2, 3)])
def test_series_are_moved_and_their_ends_repeated(features: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random([BATCH, 9, *features], np.float32)
    found = run(TimeShift(3), x)
    longer = np.pad(x, [(0, 0), (3, 3), *[(0, 0)] * len(features)], "edge")
    same = np.array([(found == longer[:, i : i + 9]).reshape(BATCH, -1).all(1) for i in range(7)])
    assert (same.sum(0) == 1).all()
    assert same.sum(1).min() > 10  # 29 expected of each of the 7


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_tokens_are_hidden_at_the_rate_and_padding_stays(dtype: type) -> None:
    x = np.random.default_rng(0).integers(2, 100, [BATCH, 50]).astype(dtype)
    x[:, 30:] = 0
    found = run(TokenDropout(0.2, token=1), x)
    hidden = found == 1
    np.testing.assert_array_equal(found[~hidden], x[~hidden])
    assert not hidden[:, 30:].any()
    assert abs(hidden[:, :30].mean() - 0.2) < 0.02  # of 6000
    assert hidden[:, :30].any(1).mean() > 0.9
    assert (run(TokenDropout(1.0, token=1), x) == (x > 0)).all()


def test_noise_has_the_deviation_and_no_mean() -> None:
    x = np.full([BATCH, 8, 3], 5.0, np.float32)
    added = run(Noise(0.25), x) - 5
    assert abs(added.std() - 0.25) < 0.01
    assert abs(added.mean()) < 0.015
    assert (added.std(0) > 0.2).all()
    assert (added.std((1, 2)) > 0.1).all()
