"""A layer that trains itself: what it hides, what it changes, and that replicas agree."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import layers
from pipeline.training.optimizers import SGD, Adam


@pytest.fixture
def x() -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).normal(size=(8, 5)), tf.float32)


LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def _block(units: int = 6, optimizer: Callable[[], Any] = lambda: SGD(0.1), **more: Any) -> Any:
    return layers.SelfTraining(
        layers.Dense(units, "tanh"), optimizer(), head=layers.Dense(3), **more
    )


def _step(scale: float = 1.0, **more: Any) -> Any:
    given = {"labels": tf.constant(LABELS), "global_batch": 8, "scale": scale, **more}
    return layers.training_step(seed=0, step=0, **given)


def _values(layer: layers.Layer) -> dict[str, np.ndarray]:
    return {path: v.numpy() for path, v in layer.named_variables().items()}


def test_outer_optimizer_sees_only_what_is_outside(x: tf.Tensor) -> None:
    model = layers.Stack({"below": layers.Dense(4), "block": _block(), "above": layers.Dense(3)})
    layers.build(model, x)
    assert set(layers.outer_variables(model)) == {"below/w", "below/b", "above/w", "above/b"}
    assert "block/layer/w" in model.named_variables()


def test_no_gradient_passes_to_what_is_below_nor_from_above(x: tf.Tensor) -> None:
    model = layers.Stack({"below": layers.Dense(4), "block": _block(), "above": layers.Dense(3)})
    layers.build(model, x)
    for training in (True, False):
        with _step(), tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(model(x, training=training) ** 2)
        named = {p: v for p, v in model.named_variables().items() if v.trainable}
        found = tape.gradient(loss, {**named, "input": x})
        passed = {path for path, gradient in found.items() if gradient is not None}
        assert passed == {"above/w", "above/b"}


def test_its_own_loss_has_no_gradient_to_what_is_below(x: tf.Tensor) -> None:
    model = layers.Stack({"below": layers.Dense(4), "block": _block()})
    layers.build(model, x)
    with _step() as context, tf.GradientTape() as tape:
        tape.watch(x)
        model(x, training=True)
    assert tape.gradient(context.published["block/loss"], [x, model["below"].w]) == [None, None]


def test_no_gradient_passes_between_the_blocks_of_a_stack(x: tf.Tensor) -> None:
    """The first block learns the same whatever stands above it, and from its own loss alone."""
    alone = layers.Stack({"block1": _block()})
    stacked = layers.Stack({"block1": _block(), "block2": _block(4), "out": _block(3)})
    for model in (alone, stacked):
        layers.build(model, x)
        for _ in range(3):
            with _step():
                model(x, training=True)
    for path, value in _values(alone).items():
        np.testing.assert_array_equal(_values(stacked)[path], value)


def test_one_update_is_a_gradient_step_of_its_own_loss(x: tf.Tensor) -> None:
    block = _block()
    layers.build(block, x)
    weights = [block.layer.w, block.layer.b, block.head.w, block.head.b]
    with tf.GradientTape() as tape:
        y = block.layer(x)
        logits = block.head(y)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=LABELS, logits=logits)
        objective = tf.reduce_mean(loss)
    expected = [
        w - 0.1 * 0.5 * g for w, g in zip(weights, tape.gradient(objective, weights), strict=True)
    ]
    with _step(scale=0.5) as context:
        output = block(x, training=True)
    np.testing.assert_array_equal(output, y)  # of the weights before the update
    for weight, value in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-5, atol=1e-7)
    right = np.sum(np.argmax(logits, -1) == LABELS)
    assert {k: float(v) for k, v in context.published.items()} == pytest.approx(
        {"loss": float(tf.reduce_sum(loss)), "accuracy": right}, rel=1e-5
    )


def test_evaluation_changes_nothing_and_needs_no_labels(x: tf.Tensor) -> None:
    block = _block(optimizer=Adam)
    layers.build(block, x)
    with _step():
        block(x, training=True)
    before = _values(block)
    np.testing.assert_array_equal(block(x), block.layer(x))
    for path, value in _values(block).items():
        np.testing.assert_array_equal(value, before[path])


def test_its_clip_norm_bounds_its_update(x: tf.Tensor) -> None:
    block = _block(optimizer=lambda: SGD(1.0), clip_norm=0.01)
    layers.build(block, x)
    before = _values(block)
    with _step():
        block(x, training=True)
    after = _values(block)
    moved = sum(np.sum((after[p] - before[p]) ** 2) for p in before if p != "optimizer/updates")
    assert np.sqrt(moved) == pytest.approx(0.01, rel=1e-4)


def test_a_block_inside_a_block_is_its_own_business(x: tf.Tensor) -> None:
    inner = _block()
    outer = layers.SelfTraining(layers.Stack({"inner": inner, "out": layers.Dense(3)}), SGD(0.1))
    layers.build(outer, x)
    assert set(outer.optimizer.variables_by_path) == {"layer/out/w", "layer/out/b"}
    before = _values(outer)
    with _step():
        outer(x, training=True)
    after = _values(outer)
    moved = {p for p in before if not np.array_equal(before[p], after[p])}
    assert {"layer/inner/layer/w", "layer/inner/head/w", "layer/out/w"} <= moved


@pytest.mark.parametrize(
    "bounds",
    [[0, 5, 8], *(pytest.param(b, marks=pytest.mark.slow) for b in ([0, 4, 8], [0, 8, 8]))],
)
def test_two_replicas_end_in_the_weights_of_one(
    x: tf.Tensor, strategy_of: Callable[[int], Any], bounds: list[int]
) -> None:
    found = []
    for replicas, cuts in ((1, [0, 8]), (2, bounds)):
        strategy = strategy_of(replicas)
        with strategy.scope():
            model = layers.Stack({"block1": _block(optimizer=Adam), "block2": _block(4)})
            layers.build(model, x)

        def step(model: Any = model, cuts: list[int] = cuts) -> Any:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            rows = slice(tf.constant(cuts)[replica], tf.constant(cuts)[replica + 1])
            with _step(labels=tf.constant(LABELS)[rows]):
                return model(x[rows], training=True)

        run = tf.function(lambda step=step, strategy=strategy: strategy.run(step), autograph=False)
        for _ in range(5):
            run()
        for path, variable in model.named_variables().items():
            first, *others = strategy.experimental_local_results(variable)
            for other in others:
                np.testing.assert_array_equal(other.numpy(), first.numpy(), err_msg=path)
        found.append(_values(model))
    for path, value in found[0].items():
        np.testing.assert_allclose(found[1][path], value, rtol=1e-4, atol=1e-5, err_msg=path)


def test_a_copy_trains_alone(x: tf.Tensor) -> None:
    block = _block(optimizer=Adam)
    layers.build(block, x)
    twin, before = copy.deepcopy(block), _values(block)
    with _step():
        twin(x, training=True)
    assert not np.array_equal(twin.layer.w, before["layer/w"])
    for path, value in _values(block).items():
        np.testing.assert_array_equal(value, before[path])


def test_its_row_in_a_summary_has_what_its_optimizer_remembers(x: tf.Tensor) -> None:
    block = _block(optimizer=lambda: SGD(0.1, momentum=0.9))
    layers.build(block, x)
    rows = {row.path: row for row in layers.summarize(block)}
    assert rows["layer"].parameters == 36
    assert rows["head"].parameters == 21
    assert (rows[""].parameters, rows[""].trainable) == (36 + 21 + 1, 0)


def test_mean_squared_error_publishes_no_accuracy(x: tf.Tensor) -> None:
    block = layers.SelfTraining(layers.Dense(2), SGD(0.1), loss="mean squared error")
    layers.build(block, x)
    targets = tf.ones([8, 2])
    losses = []
    for _ in range(3):
        with _step(labels=targets) as context:
            block(x, training=True)
        assert set(context.published) == {"loss"}
        losses.append(float(context.published["loss"]))
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"labels": None}, "SelfTraining: trains itself and must know the labels"),
        ({"microbatches": 2}, "would learn from each of the 2 microbatches; give the whole batch"),
    ],
)
def test_a_step_that_does_not_do_is_refused(
    x: tf.Tensor, step: dict[str, Any], message: str
) -> None:
    with pytest.raises(layers.LayerError, match=message), _step(**step):
        _block()(x, training=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adam"}, "optimizer must be a tf.Module with build"),
        ({"optimizer": SGD(0.1), "loss": "cross"}, "unknown loss 'cross'"),
        ({"optimizer": SGD(0.1), "head": "dense"}, "head must be a Layer"),
        ({"optimizer": SGD(0.1), "clip_norm": 0.0}, "clip_norm must be a number"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(layers.LayerError, match=message):
        layers.SelfTraining(layers.Dense(3), **arguments)


def test_publishing_what_is_not_listed_is_refused(x: tf.Tensor) -> None:
    with pytest.raises(layers.LayerError, match="publishes 'loss', which its attribute metrics"):
        layers.Dense(3).publish("loss", x)
