"""Augmentation in the training step: the same on any number of replicas, another in each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def losses(make_trainer: Callable[..., Any]) -> Callable[..., list[float]]:
    """``losses(replicas, steps=, mode=, …)``: of the first steps, with crops and mixed examples."""
    from pipeline.data.augment import Crop, MixUp

    def train(replicas: int = 1, steps: int = 6, mixed: bool = True, **options: Any) -> list[float]:
        augment = {"crop": Crop(padding=2)} | ({"mix": MixUp(alpha=0.4)} if mixed else {})
        trainer = make_trainer(replicas, augment=augment, **options)
        return trainer.train(steps).rows[:, 0].tolist()

    return train


def test_replicas_and_microbatches_draw_the_same_numbers(losses) -> None:
    expected = losses()
    np.testing.assert_allclose(losses(2), expected, rtol=2e-6)
    np.testing.assert_allclose(losses(accumulate=2), expected, rtol=2e-6)
    np.testing.assert_allclose(losses(mode="loop"), expected, rtol=2e-6)


@pytest.mark.exhaustive
def test_four_replicas_draw_the_same_numbers(losses) -> None:
    np.testing.assert_allclose(losses(4, accumulate=2), losses(), rtol=2e-6)


def test_it_is_a_function_of_the_seed_and_the_step(losses, make_trainer) -> None:
    first = losses()
    assert losses() == first
    assert losses(seed=1)[0] != first[0]
    plain = make_trainer().train(6).rows[:, 0]
    assert not np.isclose(plain, first).any()


def test_evaluation_is_not_augmented(make_trainer) -> None:
    from pipeline.data.augment import Crop

    validation = {"every": 50, "objective": "accuracy"}
    plain = make_trainer(validation=validation)
    augmented = make_trainer(validation=validation, augment={"crop": Crop(padding=2)})
    feed = plain.validation.feed
    assert augmented.evaluate(augmented.validation.feed) == plain.evaluate(feed)


def test_mixed_examples_learn_both_targets_in_their_shares(make_trainer, data) -> None:
    """The loss of the first step, by hand."""
    import tensorflow as tf

    from pipeline.data.augment import Augmentation, MixUp, neighbours

    steps = {"mix": MixUp(alpha=0.4)}
    trainer = make_trainer(augment=steps)
    order = trainer.feed.order(0, 0).numpy()[:16]
    x, y = tf.cast(data[0][order], tf.float32) / 255.0, tf.constant(data[1][order])
    key = tf.constant([0, 0], tf.int64)
    mixed = Augmentation(steps, 16)(x, key, tf.range(16))
    logits = trainer.model(mixed.x, training=False)
    own, other = trainer.task.loss(logits, y), trainer.task.loss(logits, neighbours(y))
    expected = tf.reduce_sum(mixed.share * own + (1.0 - mixed.share) * other)
    assert trainer.train(1).rows[0, 0] == pytest.approx(float(expected), rel=1e-5)
