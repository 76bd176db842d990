"""The in-graph loops: replicas, microbatches and compilation change the speed, not the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@dataclass
class Run:
    """A trainer that has taken 12 steps: the steps' rows, and its weights afterwards."""

    trainer: Any
    rows: np.ndarray
    weights: dict[str, np.ndarray]


def _run(trainer: Any, calls: Sequence[int] = (12,)) -> Run:
    rows = np.concatenate([trainer.train(steps).rows for steps in calls])
    weights = {path: v.numpy() for path, v in trainer.model.named_variables().items()}
    return Run(trainer, rows, weights)


def _losses(run: Run) -> np.ndarray:
    return run.rows[:, 0] / run.trainer.feed.batch


@pytest.fixture(scope="module")
def plain(make_trainer) -> Callable[[int], Run]:
    """``plain(replicas)``: what the others are compared with, traced once. Not trained further."""
    return cache(lambda replicas: _run(make_trainer(replicas)))


@pytest.fixture(scope="module")
def breaking(make_trainer) -> Callable[[str], Run]:
    """``breaking(mode)``: as ``plain(1)``, in four calls; the 15th step would not be finite."""
    import tensorflow as tf

    def factor(step: tf.Tensor) -> tf.Tensor:
        return tf.where(step == 14, float("inf"), 1.0)

    return cache(lambda mode: _run(make_trainer(1, factor=factor, mode=mode), (1, 4, 5, 2)))


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_give_the_training_of_one(plain, replicas: int) -> None:
    np.testing.assert_allclose(_losses(plain(replicas)), _losses(plain(1)), rtol=2e-5)


@pytest.mark.parametrize("replicas", [2, 4])
def test_batch_norm_over_replicas_gives_the_training_of_one(make_trainer, replicas: int) -> None:
    import layers

    def model():
        return layers.Stack(
            {
                "flat": layers.Flatten(),
                "hidden": layers.Dense(16, use_bias=False),
                "norm": layers.BatchNorm(),
                "logits": layers.Dense(4),
            }
        )

    one, several = (_run(make_trainer(n, model=model)) for n in (1, replicas))
    np.testing.assert_allclose(_losses(several), _losses(one), rtol=1e-4)
    for path, weight in one.weights.items():
        np.testing.assert_allclose(several.weights[path], weight, atol=1e-4, err_msg=path)


@pytest.mark.parametrize("replicas", [1, 2])
def test_microbatches_sum_to_the_whole_batch(make_trainer, plain, replicas: int) -> None:
    parts = _run(make_trainer(replicas, accumulate=4))
    np.testing.assert_allclose(_losses(parts), _losses(plain(replicas)), rtol=2e-5)


def test_compiled_training_equals_plain(plain, breaking) -> None:
    np.testing.assert_allclose(_losses(breaking("loop")), _losses(plain(1)), rtol=2e-5)


def test_compiled_gradients_on_two_replicas_equal_plain(make_trainer, plain) -> None:
    trainer = make_trainer(2, mode="gradients")
    assert trainer.warm_up().mode == "gradients"
    np.testing.assert_allclose(_losses(_run(trainer)), _losses(plain(2)), rtol=2e-5)


def test_steps_per_call_do_not_change_a_bit(plain, breaking) -> None:
    once, often = plain(1), breaking("off")
    np.testing.assert_array_equal(often.rows, once.rows)
    for path, weight in once.weights.items():
        np.testing.assert_array_equal(often.weights[path], weight)


def test_loop_is_traced_once_whatever_the_number_of_steps(breaking) -> None:
    assert breaking("off").trainer._loop.experimental_get_tracing_count() == 1


def test_every_epoch_visits_the_split_in_another_order_each_example_once(plain) -> None:
    import tensorflow as tf

    feed = plain(1).trainer.feed
    orders = [feed.order(5, tf.constant(epoch, tf.int64)).numpy() for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(100))
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], feed.order(5, tf.constant(0, tf.int64)).numpy())
    assert not np.array_equal(orders[0], feed.order(6, tf.constant(0, tf.int64)).numpy())


@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("batch", [16, 32])
def test_evaluation_counts_every_example_once(plain, data, replicas, batch) -> None:
    """100 examples in batches of 16 end in a shard of 4, in batches of 32 in empty shards too."""
    import tensorflow as tf

    from pipeline.data.examples import Examples
    from pipeline.data.feed import ResidentFeed

    trainer = plain(replicas).trainer
    feed = ResidentFeed(trainer.strategy, f"odd{batch}", Examples(*data), batch)
    logits = trainer.model(tf.cast(data[0], tf.float32) / 255.0).numpy()
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=data[1], logits=logits)
    found = trainer.evaluate(feed)
    assert found["accuracy"] == pytest.approx(np.mean(logits.argmax(1) == data[1]), abs=1e-7)
    assert found["loss"] == pytest.approx(float(np.mean(loss)), rel=1e-5)


@pytest.mark.parametrize("replicas", [1, 2])
def test_clipping_bounds_the_norm_of_the_summed_gradient(make_trainer, plain, replicas) -> None:
    from pipeline.training.optimizers import SGD

    at = plain(1).trainer.columns.index("gradient_norm")
    norm = plain(1).rows[0, at]
    clipped = float(norm) / 4
    trainer = make_trainer(replicas, optimizer=lambda: SGD(1.0), clip_norm=clipped)
    before = {k: v.numpy() for k, v in trainer.model.named_variables().items()}
    logged = trainer.train(1).rows[0, at]
    after = trainer.model.named_variables()
    update = np.sqrt(sum(np.sum((after[k].numpy() - before[k]) ** 2) for k in before))
    assert logged == pytest.approx(norm, rel=1e-4)  # what is logged is the norm before clipping
    assert update == pytest.approx(clipped, rel=1e-4)


def test_average_follows_its_formula_and_evaluation_uses_it(make_trainer) -> None:
    trainer = make_trainer(1, decay=0.9)
    expected = trainer.model.named_variables()["hidden/w"].numpy()
    for step in range(4):
        trainer.train(1)
        decay = min(0.9, (1 + step) / (10 + step))
        weight = trainer.model.named_variables()["hidden/w"].numpy()
        expected = decay * expected + (1 - decay) * weight
    found = trainer.average.averages["hidden/w"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with trainer.evaluated_weights():
        np.testing.assert_array_equal(trainer.model.named_variables()["hidden/w"], found)
    np.testing.assert_array_equal(trainer.model.named_variables()["hidden/w"], weight)


@pytest.mark.parametrize("mode", ["off", "loop"])
def test_training_stops_at_the_step_that_is_not_finite_and_names_it(breaking, mode) -> None:
    trainer = breaking(mode).trainer
    trained = trainer.train(20)
    assert "not finite at step 15 (the call ran steps 13 to 32)" in trained.failure
    assert len(trained.rows) == 2  # what is finite is there
    assert np.isfinite(trained.rows).all()
    assert trainer.current_step == 15


def test_masks_on_replicas_repeat_in_a_second_run(make_trainer) -> None:
    import layers

    def model():
        return layers.Stack(
            {"flat": layers.Flatten(), "drop": layers.Dropout(0.5), "logits": layers.Dense(4)}
        )

    first, again = (make_trainer(2, model=model).train(6).rows for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_bfloat16_computes_close_to_float32_and_keeps_float32_weights(make_trainer, plain) -> None:
    import layers

    def model():
        net = layers.Stack(
            {
                "flat": layers.Flatten(),
                "hidden": layers.Dense(16, "relu"),
                "logits": layers.Dense(4),
            }
        )
        layers.set_precision(net, "bfloat16")
        return net

    half = _run(make_trainer(1, model=model))
    assert {v.dtype.name for v in half.trainer.model.variables} == {"float32"}
    np.testing.assert_allclose(_losses(half), _losses(plain(1)), rtol=0.05)
    assert not np.array_equal(_losses(half), _losses(plain(1)))


def test_split_smaller_than_a_batch_is_refused(make_trainer) -> None:
    from pipeline.errors import DataError

    with pytest.raises(DataError, match="'train' has 100 examples, fewer than one batch"):
        make_trainer(1, batch=128)
