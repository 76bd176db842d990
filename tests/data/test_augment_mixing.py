"""Who is mixed with whom, how much, and that the share says so."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipeline.data.augment import CutMix, MixUp, neighbours
from pipeline.data.augment.mixing import symmetric_beta
from pipeline.data.draw import Draw

BATCH = 400
NEIGHBOURS = np.arange(BATCH) ^ 1
IMAGES = np.random.default_rng(0).random([BATCH, 8, 10, 2], np.float32)


def draw(step: int = 0, batch: int = BATCH) -> Draw:
    return Draw(tf.constant([0, step], tf.int64), tf.range(batch), batch)


def test_neighbours_are_i_xor_1() -> None:
    np.testing.assert_array_equal(neighbours(tf.constant(IMAGES)), IMAGES[NEIGHBOURS])
    np.testing.assert_array_equal(neighbours(tf.range(6)), [1, 0, 3, 2, 5, 4])


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 4.0])
def test_shares_are_distributed_as_beta(alpha: float) -> None:
    shares = symmetric_beta(draw(batch=20_000).uniform((2,)), alpha).numpy()
    assert np.isfinite(shares).all()
    assert shares.min() >= 0
    assert shares.max() <= 1
    beta = stats.beta(alpha, alpha)
    places = np.linspace(0.001, 0.999, 99)
    found = (shares[:, None] <= places).mean(0)
    np.testing.assert_allclose(found, beta.cdf(places), atol=0.012)
    assert abs(shares.mean() - 0.5) < 0.012
    assert abs(shares.var() - beta.var()) < 0.03 * beta.var()


def test_the_ends_of_the_uniform_numbers_make_finite_shares() -> None:
    ends = np.float32([0.0, 2**-24, 0.25, 0.5, 0.75, 1 - 2**-24])
    uniforms = np.stack(np.meshgrid(ends, ends), -1).reshape(-1, 2)
    for alpha in (0.01, 1.0, 100.0):
        shares = symmetric_beta(tf.constant(uniforms), alpha).numpy()
        assert ((shares >= 0) & (shares <= 1)).all(), alpha


def test_mixup_is_the_weighted_mean_with_the_neighbour() -> None:
    x, share = MixUp(0.4)(tf.constant(IMAGES), draw())
    weight = share.numpy()[:, None, None, None]
    np.testing.assert_allclose(x, weight * IMAGES + (1 - weight) * IMAGES[NEIGHBOURS], atol=1e-6)
    assert share.dtype == tf.float32
    assert len(np.unique(share)) > BATCH / 2  # each example its own


def test_shares_are_the_same_to_the_bit_in_parts_of_the_batch() -> None:
    """Powers and cosines of a few numbers may differ in the last bit from those of many."""
    _, share = MixUp(0.4)(tf.constant(IMAGES), draw())
    for start in range(0, BATCH, 10):
        part = Draw(draw().key, tf.range(start, start + 10), BATCH)
        found = MixUp(0.4)(tf.constant(IMAGES[start : start + 10]), part).share
        np.testing.assert_array_equal(found, share[start : start + 10])


@pytest.mark.parametrize("step", [MixUp(1.0, probability=0.3), CutMix(1.0, probability=0.3)])
def test_as_many_are_mixed_as_probable(step) -> None:
    x, share = step(tf.constant(IMAGES), draw())
    kept = share.numpy() == 1
    assert 0.22 < 1 - kept.mean() < 0.38
    np.testing.assert_array_equal(x.numpy()[kept], IMAGES[kept])


def test_cutmix_takes_a_box_of_the_neighbour_and_the_share_is_the_rest() -> None:
    x, share = CutMix(1.0)(tf.constant(IMAGES), draw())
    theirs = (x.numpy() == IMAGES[NEIGHBOURS]).all(-1)
    own = (x.numpy() == IMAGES).all(-1)
    assert (theirs ^ own).all()
    assert (theirs == theirs.any(2)[:, :, None] & theirs.any(1)[:, None, :]).all()
    np.testing.assert_allclose(share, own.mean((1, 2)), atol=1e-6)
    rows, columns = theirs.any(2).mean(0), theirs.any(1).mean(0)
    assert rows.min() > 0.2  # boxes are everywhere
    assert columns.min() > 0.2


def test_boxes_of_cutmix_have_the_areas_drawn() -> None:
    """Of a large image, those boxes that lie inside take the share of Beta(alpha, alpha)."""
    side, batch = 64, 500
    marked = np.zeros([batch, side, side, 1], np.float32)
    marked[1::2] = 1
    for alpha in (0.3, 5.0):
        x, _ = CutMix(alpha)(tf.constant(marked), draw(batch=batch))
        drawn = draw(batch=batch).named("share").uniform((2,))
        area = 1 - symmetric_beta(drawn, alpha).numpy()
        found = np.abs(x.numpy() - marked).mean((1, 2, 3))
        assert (found <= area + 1e-6).all()
        inside = np.abs(found - area) < 2.5 / side  # the rest was cut off at the image's edge
        assert 0.1 < inside.mean() < 0.95
