"""The in-graph loops: replicas, microbatches and compilation change the speed, not the training."""

from __future__ import annotations

import numpy as np
import pytest


def _losses(trainer, steps: int = 12) -> np.ndarray:
    return trainer.train(steps)[:, 0] / trainer.feed.batch


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_replicas_give_the_training_of_one(make_trainer, replicas: int) -> None:
    np.testing.assert_allclose(_losses(make_trainer(replicas)), _losses(make_trainer(1)), rtol=2e-5)


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.slow)])
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

    one, several = make_trainer(1, model=model), make_trainer(replicas, model=model)
    np.testing.assert_allclose(_losses(several), _losses(one), rtol=1e-4)
    for path, variable in one.model.named_variables().items():
        np.testing.assert_allclose(
            several.model.named_variables()[path].numpy(), variable.numpy(), atol=1e-4, err_msg=path
        )


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_microbatches_sum_to_the_whole_batch(make_trainer, replicas: int) -> None:
    whole, parts = make_trainer(replicas), make_trainer(replicas, accumulate=4)
    np.testing.assert_allclose(_losses(parts), _losses(whole), rtol=2e-5)


@pytest.mark.parametrize(
    ("replicas", "mode"), [(1, "loop"), pytest.param(2, "gradients", marks=pytest.mark.slow)]
)
def test_compiled_training_equals_plain(make_trainer, replicas: int, mode: str) -> None:
    plain, compiled = make_trainer(replicas), make_trainer(replicas, mode=mode)
    compiled.warm_up()
    np.testing.assert_allclose(_losses(compiled), _losses(plain), rtol=2e-5)


def test_steps_per_call_do_not_change_a_bit(make_trainer) -> None:
    once, often = make_trainer(1), make_trainer(1)
    rows = once.train(13)
    parts = np.concatenate([often.train(n) for n in (1, 4, 6, 2)])
    np.testing.assert_array_equal(parts, rows)
    for path, variable in once.model.named_variables().items():
        np.testing.assert_array_equal(often.model.named_variables()[path], variable)


def test_every_epoch_visits_the_split_in_another_order_each_example_once(make_trainer) -> None:
    import tensorflow as tf

    feed = make_trainer(1).feed
    orders = [feed.order(5, tf.constant(epoch, tf.int64)).numpy() for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(100))
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], feed.order(5, tf.constant(0, tf.int64)).numpy())
    assert not np.array_equal(orders[0], feed.order(6, tf.constant(0, tf.int64)).numpy())


@pytest.mark.parametrize("replicas", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("batch", [16, 32])
def test_evaluation_counts_every_example_once(make_trainer, data, replicas, batch) -> None:
    """100 examples in batches of 16 end in a shard of 4, in batches of 32 in empty shards too."""
    import tensorflow as tf

    from pipeline.data.feed import ResidentFeed

    trainer = make_trainer(replicas)
    trainer.train(5)
    feed = ResidentFeed(trainer.strategy, f"odd{batch}", *data, batch)
    logits = trainer.model(tf.cast(data[0], tf.float32) / 255.0).numpy()
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=data[1], logits=logits)
    found = trainer.evaluate(feed)
    assert found["accuracy"] == pytest.approx(np.mean(logits.argmax(1) == data[1]), abs=1e-7)
    assert found["loss"] == pytest.approx(float(np.mean(loss)), rel=1e-5)


def test_clipping_bounds_the_norm_of_the_summed_gradient(make_trainer) -> None:
    from pipeline.training.optimizers import SGD

    def first_update(replicas: int, clip: float | None):
        trainer = make_trainer(replicas, optimizer=lambda: SGD(1.0), clip_norm=clip)
        before = {k: v.numpy() for k, v in trainer.model.named_variables().items()}
        norm = trainer.train(1)[0, trainer.columns.index("gradient_norm")]
        after = trainer.model.named_variables()
        update = np.sqrt(sum(np.sum((after[k].numpy() - before[k]) ** 2) for k in before))
        return norm, update

    norm, update = first_update(1, None)
    assert update == pytest.approx(norm, rel=1e-4)
    clipped = norm / 4
    for replicas in (1, 2):
        logged, update = first_update(replicas, float(clipped))
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
def test_training_stops_at_the_step_that_is_not_finite_and_names_it(make_trainer, mode) -> None:
    import tensorflow as tf

    from pipeline.errors import TrainingError

    def breaks_at_7(step):
        return tf.where(step == 6, float("inf"), 1.0)

    trainer = make_trainer(1, factor=breaks_at_7, mode=mode)
    with pytest.raises(TrainingError, match=r"not finite at step 7 \(the call ran steps 1 to 20\)"):
        trainer.train(20)
    assert trainer.current_step == 7


def test_masks_differ_on_replicas_and_repeat_in_a_second_run(make_trainer) -> None:
    import layers

    def model():
        return layers.Stack(
            {"flat": layers.Flatten(), "drop": layers.Dropout(0.5), "logits": layers.Dense(4)}
        )

    first, again = (make_trainer(2, model=model).train(6) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, make_trainer(2, model=model, seed=1).train(6))


def test_bfloat16_computes_close_to_float32_and_keeps_float32_weights(make_trainer) -> None:
    import layers

    def model():
        net = layers.Stack(
            {"flat": layers.Flatten(), "h": layers.Dense(16, "relu"), "logits": layers.Dense(4)}
        )
        layers.set_precision(net, "bfloat16")
        return net

    trainer = make_trainer(1, model=model)
    assert {v.dtype.name for v in trainer.model.variables} == {"float32"}
    plain = _losses(make_trainer(1, model=lambda: _plain(layers)))
    found = _losses(trainer)
    np.testing.assert_allclose(found, plain, rtol=0.05)
    assert not np.array_equal(found, plain)


def _plain(layers):
    return layers.Stack(
        {"flat": layers.Flatten(), "h": layers.Dense(16, "relu"), "logits": layers.Dense(4)}
    )


def test_split_smaller_than_a_batch_is_refused(make_trainer) -> None:
    from pipeline.errors import DataError

    with pytest.raises(DataError, match="'train' has 100 examples, fewer than one batch"):
        make_trainer(1, batch=128)


def test_loop_is_traced_once_whatever_the_number_of_steps(make_trainer) -> None:
    trainer = make_trainer(1)
    for n in (1, 3, 7):
        trainer.train(n)
    assert trainer._loop.experimental_get_tracing_count() == 1
