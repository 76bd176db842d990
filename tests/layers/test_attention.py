"""Attention: Keras 3's outputs and gradients, what may look at what, and the blocks built of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import layers

MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 0, 1]], bool)


def _series(steps: int = 5, features: int = 4, seed: int = 0, batch: int = 3) -> tf.Tensor:
    random = np.random.default_rng(seed)
    return tf.constant(random.normal(size=(batch, steps, features)), tf.float32)


def _results(
    run: Callable[[], tf.Tensor], inputs: Sequence[tf.Tensor], weights: Sequence[Any]
) -> list[np.ndarray]:
    """The output and the gradients of a loss to which every output matters differently."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = run()
        loss = tf.reduce_sum(
            y**2 * tf.cos(tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape))
        )
    return [y.numpy(), *(g.numpy() for g in tape.gradient(loss, [*inputs, *weights]))]


def _assert_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        other = other.reshape(mine.shape)
        tolerance = 1e-5 * max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=tolerance)


def _copy_attention(ours: layers.Layer, theirs: keras.layers.Layer) -> tuple[list[Any], list[Any]]:
    """Random weights for both; ours and Keras's, in one order, without Keras's bias of the key."""
    random = np.random.default_rng(1)
    pairs = []
    for name in ("query", "key", "value", "output"):
        dense = getattr(ours, "out" if name == "output" else name)
        other = getattr(theirs, f"_{name}_dense")
        for weight, target in ((dense.w, other.kernel), (getattr(dense, "b", None), other.bias)):
            value = random.normal(size=target.shape)
            target.assign(value)
            if weight is not None:
                weight.assign(value.reshape(weight.shape))
                pairs.append((weight, target.value))
    return [w for w, _ in pairs], [v for _, v in pairs]


@pytest.mark.parametrize(
    ("groups", "cross", "causal", "masked"),
    [
        (None, False, False, False),
        (None, False, False, True),
        (None, False, True, False),
        (None, False, True, True),
        (None, True, False, True),
        (None, True, True, False),
        (2, False, True, True),
        (2, True, False, False),
    ],
)
def test_outputs_and_gradients_equal_keras(
    groups: int | None, cross: bool, causal: bool, masked: bool
) -> None:
    ours = layers.MultiHeadAttention(4, head_units=3, key_value_heads=groups, causal=causal)
    theirs = (
        keras.layers.MultiHeadAttention(4, 3)
        if groups is None
        else keras.layers.GroupQueryAttention(3, 4, groups)
    )
    x = _series(6 if cross else 5)
    context = _series(5, features=2, seed=1) if cross else x
    ours(*((x, context) if cross else (x,)))
    theirs.build(x.shape, context.shape)
    weights, other_weights = _copy_attention(ours, theirs)
    mask = tf.constant(MASK) if masked else None
    seen = None if mask is None else tf.repeat(mask[:, None], x.shape[1], 1)
    inputs = [x, context] if cross else [x]
    assert len(weights) == len(ours.trainable_variables) == 7
    _assert_same(
        _results(lambda: ours(*inputs, mask=mask, training=True), inputs, weights),
        _results(
            lambda: theirs(x, context, attention_mask=seen, use_causal_mask=causal),
            inputs,
            other_weights,
        ),
    )


@pytest.mark.parametrize("rotary", [False, True])
def test_causal_output_does_not_know_the_future(rotary: bool) -> None:
    layer = layers.MultiHeadAttention(2, causal=True, rotary=rotary)
    x, other = _series(6), _series(6, seed=1)
    y = layer(x)
    for t in range(6):
        changed = layer(tf.concat([x[:, : t + 1], other[:, t + 1 :]], 1))
        np.testing.assert_allclose(changed[:, : t + 1], y[:, : t + 1], atol=1e-6)
        assert t == 5 or np.abs(changed[:, t + 1 :] - y[:, t + 1 :]).max() > 1e-3


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rotary", [False, True])
def test_padding_changes_nothing(causal: bool, rotary: bool) -> None:
    layer = layers.MultiHeadAttention(2, causal=causal, rotary=rotary)
    x = _series(3)
    padded = tf.concat([x, 1e3 * _series(2, seed=1)], 1)
    mask = tf.sequence_mask([3, 3, 3], 5)
    np.testing.assert_allclose(layer(padded, mask=mask)[:, :3], layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_query_that_sees_nothing_gives_zeros_and_finite_gradients(compiled: bool) -> None:
    layer = layers.MultiHeadAttention(2, causal=True)
    x = _series(3)
    layers.build(layer, x)
    layer.out.b.assign([1.0, 2.0, 3.0, 4.0])
    # Of the first sequence nothing counts; causal, of the second nothing that its first two see.
    mask = tf.constant([[False, False, False], [False, False, True], [True, True, True]])

    @tf.function(jit_compile=compiled, autograph=False)
    def run(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(y**2)
        return y, tape.gradient(loss, [x, *layer.trainable_variables])

    y, gradients = run(x)
    blind = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], bool)
    np.testing.assert_array_equal(y.numpy()[blind], [[1.0, 2.0, 3.0, 4.0]] * 5)
    assert np.abs(y.numpy()[~blind] - [1.0, 2.0, 3.0, 4.0]).min() > 1e-4
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_array_equal(gradients[0][0], np.zeros((3, 4)))


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    """Of a sequence and itself behind others that are masked: the outputs are the same."""
    layer = layers.MultiHeadAttention(2, rotary=True)
    x = _series(4)
    behind = tf.concat([_series(7, seed=1), x], 1)
    mask = tf.constant([[False] * 7 + [True] * 4] * 3)
    y = layer(x)
    np.testing.assert_allclose(layer(behind, mask=mask)[:, 7:], y, rtol=1e-4, atol=1e-5)
    shuffled = layer(tf.gather(x, [1, 0, 2, 3], axis=1))
    assert np.abs(tf.gather(shuffled, [1, 0, 2, 3], axis=1) - y).max() > 1e-3  # order matters


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_time_may_be_unknown_or_zero(compiled: bool) -> None:
    block = layers.TransformerBlock(2, 6, causal=True, rotary=True)
    cross = layers.MultiHeadAttention(2)
    layers.build(block, tf.TensorSpec([None, None, 4]))
    layers.build(cross, tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None, 3]))

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None, 3])],
        autograph=False,
        jit_compile=compiled,
    )
    def run(x: tf.Tensor, context: tf.Tensor) -> Any:
        return block(x), cross(x, context)

    for times in ((5, 3), (2, 0), (0, 2)):
        x, context = _series(times[0]), _series(times[1], features=3)
        for y, expected in zip(run(x, context), (block(x), cross(x, context)), strict=True):
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
            assert y.shape == (3, times[0], 4)
    np.testing.assert_array_equal(cross(_series(2), tf.zeros([3, 0, 3])), np.zeros((3, 2, 4)))


def test_softmax_is_taken_in_float32_when_the_layer_computes_in_bfloat16() -> None:
    layer = layers.MultiHeadAttention(1, compute_dtype="bfloat16")
    seen = []
    softmax = layer._softmax
    layer._softmax = lambda scores, visible: seen.append(softmax(scores, visible)) or seen[-1]
    assert layer(_series()).dtype == tf.bfloat16
    assert seen[0].dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_sum(seen[0], -1), np.ones((3, 1, 1, 5)), atol=1e-6)


def test_attention_weights_are_dropped_in_training_only() -> None:
    layer = layers.MultiHeadAttention(1, dropout=0.5, use_bias=False)
    x = _series(steps=1, batch=200)
    y = layer(x).numpy()
    with layers.training_step(seed=0, step=0):
        dropped = layer(x, training=True).numpy()
    # One key: its weight is 0 or 1 / (1 - 0.5).
    zero = (dropped == 0).all((1, 2))
    assert 70 < zero.sum() < 130
    np.testing.assert_allclose(dropped[~zero], 2 * y[~zero], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [[3, 1, 5], [3, 1]])  # the second would be broadcast
def test_a_mask_of_another_shape_is_refused(shape: list[int]) -> None:
    with pytest.raises(layers.LayerError) as error:
        layers.MultiHeadAttention(2)(_series(), mask=tf.ones(shape, tf.bool))
    assert str(error.value) == (
        f"MultiHeadAttention: expects a mask [batch, time] of the keys, got {shape} bool for "
        "[3, 5, 4] float32"
    )


def test_a_context_of_another_rank_is_refused() -> None:
    with pytest.raises(layers.LayerError) as error:
        layers.MultiHeadAttention(2)(_series(), tf.zeros([3, 4]))
    assert str(error.value) == (
        "MultiHeadAttention: expects a context [batch, time, features] (rank 3), got [3, 4] float32"
    )


def test_block_equals_one_of_keras_layers() -> None:
    """Pre-norm, residual, mask and causal at once, against the same net written with Keras."""
    ours = layers.TransformerBlock(2, 6, causal=True)
    x, mask = _series(), tf.constant(MASK)
    layers.build(ours, x)
    first, second = (keras.layers.LayerNormalization(epsilon=1e-5) for _ in range(2))
    attention = keras.layers.MultiHeadAttention(2, 2)
    # TensorFlow's gelu and ours are the exact one; Keras's is an approximation unless told.
    inner, outer = keras.layers.Dense(6), keras.layers.Dense(4)
    for layer, size in ((first, 4), (second, 4), (inner, 4), (outer, 6)):
        layer.build([3, 5, size])
    attention.build(x.shape, x.shape)
    weights, others = _copy_attention(ours.attention, attention)
    random = np.random.default_rng(2)
    for mine, theirs in (
        (ours.attention_norm, first),
        (ours.feedforward_norm, second),
        (ours.feedforward.inner, inner),
        (ours.feedforward.outer, outer),
    ):
        for weight, other in zip(mine.trainable_variables, theirs.trainable_variables, strict=True):
            names = {"scale": "gamma", "offset": "beta", "w": "kernel", "b": "bias"}
            other = getattr(theirs, names[weight.name.rpartition("/")[2].split(":")[0]])
            weight.assign(random.normal(1, 0.5, weight.shape))
            other.assign(weight)
            weights.append(weight)
            others.append(other.value)

    def keras_net() -> tf.Tensor:
        normal = first(x)
        seen = tf.repeat(mask[:, None], 5, 1)
        y = x + attention(normal, normal, attention_mask=seen, use_causal_mask=True)
        return y + outer(keras.activations.gelu(inner(second(y)), approximate=False))

    _assert_same(
        _results(lambda: ours(x, mask=mask, training=True), [x], weights),
        _results(keras_net, [x], others),
    )


def test_gated_feedforward_multiplies_by_the_activated_gate() -> None:
    layer = layers.FeedForward(3, activation="silu", gated=True)
    x = _series()
    y = layer(x)
    gate, inner, outer = layer.gate, layer.inner, layer.outer
    gated = x @ gate.w + gate.b
    expected = (gated * tf.sigmoid(gated) * (x @ inner.w + inner.b)) @ outer.w + outer.b
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_feedforward_drops_hidden_values_in_training() -> None:
    layer = layers.FeedForward(4, activation=None, dropout=0.5, kernel_initializer=_identity)
    x = _series(batch=50)
    np.testing.assert_allclose(layer(x), x, atol=1e-6)
    with layers.training_step(seed=0, step=0):
        y = layer(x, training=True).numpy()
    kept = y != 0
    assert 0.4 < kept.mean() < 0.6
    np.testing.assert_allclose(y[kept], 2 * x.numpy()[kept], rtol=1e-5)


def _identity(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
    return tf.eye(*shape, dtype=dtype)


def test_block_drops_what_each_part_adds_by_a_draw_of_its_own() -> None:
    block = layers.TransformerBlock(1, 4, dropout=0.5, kernel_initializer="zeros")
    x = _series(batch=50)
    layers.build(block, x)
    for last in (block.attention.out, block.feedforward.outer):
        last.b.assign(tf.ones(4))  # what each part adds: 1 everywhere
    np.testing.assert_allclose(block(x) - x, 2 * np.ones(x.shape), atol=1e-6)
    with layers.training_step(seed=0, step=0):
        added = np.round((block(x, training=True) - x).numpy())
    shares = [(added == value).mean() for value in (0.0, 2.0, 4.0)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.06)


def test_dropped_paths_leave_examples_as_they_were() -> None:
    block = layers.TransformerBlock(1, 4, drop_path=0.5)
    x = _series(batch=200)
    layers.build(block, x)
    with layers.training_step(seed=0, step=0):
        y = block(x, training=True).numpy()
    untouched = (y == x.numpy()).all((1, 2)).sum()
    assert 25 < untouched < 75  # both parts are skipped for a quarter of them


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.MultiHeadAttention(
            2, key_value_heads=1, rotary=True, causal=True, compute_dtype="float64"
        ),
        lambda: layers.FeedForward(3, "silu", gated=True, compute_dtype="float64"),
        lambda: layers.TransformerBlock(2, 3, norm="rms", rotary=True, compute_dtype="float64"),
    ],
    ids=["rotary, grouped", "gated", "rms block"],
)
@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(make: Callable[[], layers.Layer]) -> None:
    layer = make()
    x = tf.cast(_series(3, batch=2), tf.float64)
    layers.build(layer, x)
    given, numeric = tf.test.compute_gradient(lambda x: layer(x, training=True), [x], delta=1e-5)
    np.testing.assert_allclose(given[0], numeric[0], rtol=1e-5, atol=1e-6)
    assert np.abs(numeric[0]).max() > 1e-2
