"""Convolutions: time's direction, sizes, empty batches, XLA, groups, initial values."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import layers

# One of each kind, and what it takes. Pooling trains on empty batches by the same means.
KINDS: dict[str, tuple[Callable[[], layers.Layer], list[int]]] = {
    "series": (lambda: layers.Conv1D(3, 3, strides=2, padding="causal"), [7, 4]),
    "dilated series": (lambda: layers.Conv1D(4, 3, padding="causal", dilation=2), [7, 4]),
    "image": (lambda: layers.Conv2D(3, [3, 2], strides=2), [6, 5, 4]),
    "groups": (lambda: layers.Conv2D(6, 3, groups=2, dilation=2), [6, 5, 4]),
    "volume": (lambda: layers.Conv3D(4, 2, strides=2, groups=2), [4, 5, 3, 2]),
    "dilated volume": (lambda: layers.Conv3D(3, 2, dilation=2), [4, 5, 3, 2]),
    "longer": (lambda: layers.ConvTranspose1D(3, 4, strides=2), [7, 4]),
    "larger": (lambda: layers.ConvTranspose2D(3, [2, 5], strides=3, padding="valid"), [6, 5, 4]),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), [6, 5, 4]),
    "separable": (lambda: layers.SeparableConv2D(3, 3, dilation=2), [6, 5, 4]),
    "max 1D": (lambda: layers.MaxPool1D(3, strides=2, padding="same"), [7, 4]),
    "max 2D": (lambda: layers.MaxPool2D(3, strides=2), [6, 5, 4]),
    "mean 1D": (lambda: layers.AvgPool1D(), [7, 4]),
    "mean 2D": (lambda: layers.AvgPool2D(3, strides=2, padding="same"), [6, 5, 4]),
}


def _draw(shape: list[int], seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def _trained(layer: layers.Layer, x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Output, and the gradients of the input and the weights."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y**2)
    return y, tape.gradient(loss, [x, *layer.trainable_variables])


@pytest.mark.parametrize(("strides", "dilation"), [(1, 1), (1, 3), (2, 1), (3, 1)])
def test_causal_convolution_sees_its_own_step_and_none_after_it(
    strides: int, dilation: int
) -> None:
    layer = layers.Conv1D(2, 3, strides, padding="causal", dilation=dilation, groups=2)
    x = _draw([1, 10, 4])
    y = layer(x)
    assert y.shape == [1, -(-10 // strides), 2]
    for step in range(10):
        changed = tf.tensor_scatter_nd_add(x, [[0, step]], tf.ones([1, 4]))
        moved = np.abs(layer(changed) - y).max((0, 2)) > 0
        # Output t stands at the input t * strides and sees it, and two before it.
        sees = [step in (t * strides - np.arange(3) * dilation) for t in range(y.shape[1])]
        assert moved.tolist() == sees


@pytest.mark.parametrize(
    ("layer", "inputs", "outputs"),
    [
        (lambda: layers.Conv1D(3, 3, strides=2), [7, 4], [4, 3]),
        (lambda: layers.Conv1D(3, 3, padding="causal", strides=2), [7, 4], [4, 3]),
        (lambda: layers.Conv2D(3, 3, padding="valid", strides=[2, 1]), [8, 5, 4], [3, 3, 3]),
        (lambda: layers.Conv3D(3, 2, padding="valid", dilation=2), [4, 5, 3, 2], [2, 3, 1, 3]),
        (lambda: layers.ConvTranspose1D(3, 3, strides=2), [7, 4], [14, 3]),
        (lambda: layers.ConvTranspose1D(3, 2, 3, padding="valid"), [7, 4], [21, 3]),
        (lambda: layers.ConvTranspose2D(3, [3, 5], 2, padding="valid"), [6, 5, 4], [13, 13, 3]),
        (lambda: layers.DepthwiseConv2D(3, 2, depth_multiplier=3), [6, 5, 4], [3, 3, 12]),
        (lambda: layers.SeparableConv2D(2, 3, padding="valid"), [6, 5, 4], [4, 3, 2]),
        (lambda: layers.MaxPool1D(3, strides=2), [8, 4], [3, 4]),
        (lambda: layers.AvgPool2D(3, strides=2, padding="same"), [6, 5, 4], [3, 3, 4]),
        (lambda: layers.GlobalMaxPool2D(), [6, 5, 4], [4]),
        # What is not known stays open.
        (lambda: layers.Conv1D(3, 3, padding="causal"), [None, 4], [None, 3]),
        (lambda: layers.ConvTranspose2D(3, 3, strides=2), [None, 5, 4], [None, 10, 3]),
        (lambda: layers.MaxPool2D(), [6, None, 4], [3, None, 4]),
    ],
)
def test_output_sizes_are_known_when_built(
    layer: Callable[[], layers.Layer], inputs: list[int | None], outputs: list[int | None]
) -> None:
    made = layer()
    spec = layers.build(made, tf.TensorSpec([None, *inputs]))
    assert spec.shape.as_list() == [None, *outputs]
    x = _draw([2, *(9 if size is None else size for size in inputs)])
    traced = tf.function(made, input_signature=[tf.TensorSpec([None, *inputs])], autograph=False)
    np.testing.assert_allclose(traced(x), made(x), rtol=1e-5, atol=1e-6)
    assert spec.shape.is_compatible_with(made(x).shape)


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_trains_and_changes_nothing(kind: str, traced: bool) -> None:
    make, sizes = KINDS[kind]
    layer = make()
    expected = layers.build(layer, tf.TensorSpec([None, *sizes])).shape
    run = tf.function(lambda x: _trained(layer, x), input_signature=[tf.TensorSpec([None, *sizes])])
    y, gradients = (run if traced else lambda x: _trained(layer, x))(tf.zeros([0, *sizes]))
    assert y.shape == [0, *expected[1:]]
    assert gradients[0].shape == [0, *sizes]
    for gradient, weight in zip(gradients[1:], layer.trainable_variables, strict=True):
        np.testing.assert_array_equal(gradient, np.zeros(weight.shape))


@pytest.fixture
def undetermined() -> Iterator[None]:
    """As without op determinism, which a run in this process may have asked for, and for which XLA
    has no gradient of max pooling."""
    from tensorflow.python.framework import config

    before = config.is_op_determinism_enabled()
    config.disable_op_determinism()
    yield
    if before:
        config.enable_op_determinism()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ("image", "max 2D") else pytest.param(kind, marks=pytest.mark.exhaustive)
        for kind in KINDS
    ],
)
def test_xla_takes_any_batch(kind: str, undetermined: None) -> None:
    make, sizes = KINDS[kind]
    layer = make()
    spec = tf.TensorSpec([None, *sizes])
    layers.build(layer, spec)
    compiled = tf.function(
        lambda x: _trained(layer, x), input_signature=[spec], jit_compile=True, autograph=False
    )
    for batch in (3, 0, 1):
        x = _draw([batch, *sizes])
        y, gradients = compiled(x)
        expected_y, expected = _trained(layer, x)
        np.testing.assert_allclose(y, expected_y, rtol=1e-4, atol=1e-5)
        for gradient, other in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_net_with_pooling_trains_alike_where_a_replica_has_no_examples(
    strategy_of: Callable[[int], Any],
) -> None:
    x = _draw([4, 8, 8, 2])

    def gradients(replicas: int, bounds: list[int]) -> list[np.ndarray]:
        strategy = strategy_of(replicas)
        with strategy.scope():
            net = layers.Stack(
                [
                    layers.Conv2D(4, 3, activation="relu"),
                    layers.MaxPool2D(),
                    layers.DepthwiseConv2D(3),
                    layers.AvgPool2D(),
                    layers.ConvTranspose2D(3, 2, strides=2),
                    layers.GlobalMaxPool2D(),
                ]
            )
            layers.build(net, x)

        def on_replica(x: tf.Tensor) -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            replica = context.replica_id_in_sync_group
            ends = tf.constant(bounds)
            part = x[ends[replica] : ends[replica + 1]]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, _trained(net, part)[1][1:])

        run = tf.function(lambda: strategy.run(on_replica, args=(x,)), autograph=False)
        return [strategy.experimental_local_results(g)[0].numpy() for g in run()]

    for found, expected in zip(gradients(2, [0, 4, 4]), gradients(1, [0, 4]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_groups_train_where_tensorflow_cannot() -> None:
    """Without oneDNN, TensorFlow's CPU kernels refuse the gradient of a grouped convolution."""
    code = """
import numpy as np, tensorflow as tf, layers
x = tf.constant(np.random.default_rng(0).normal(size=[2, 5, 5, 4]), tf.float32)
grouped = layers.Conv2D(4, 3, groups=2)
layers.build(grouped, x)
def gradients(call, w):
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        loss = tf.reduce_sum(call(x) ** 2)
    return tape.gradient(loss, [x, w])
full = np.zeros([3, 3, 4, 4], np.float32)  # the same convolution, zero between the groups
full[:, :, :2, :2], full[:, :, 2:, 2:] = np.split(grouped.w.numpy(), 2, -1)
full = tf.constant(full)
of_x, of_w = gradients(grouped, grouped.w)
other_x, other_w = gradients(lambda x: tf.nn.conv2d(x, full, 1, "SAME"), full)
other_w = np.concatenate([other_w[:, :, :2, :2], other_w[:, :, 2:, 2:]], -1)
print(np.allclose(of_x, other_x, atol=1e-5), np.allclose(of_w, other_w, atol=1e-5))
"""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "True True", done.stderr


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda **how: layers.Conv2D(64, 3, groups=4, **how), 9 * 16),
        (lambda **how: layers.DepthwiseConv2D(3, depth_multiplier=16, **how), 9),
        (lambda **how: layers.ConvTranspose2D(32, 3, **how), 9 * 64),
        (lambda **how: layers.ConvTranspose2D(32, [4, 3], strides=2, **how), 2 * 2 * 64),
        (lambda **how: layers.ConvTranspose2D(32, 2, strides=4, **how), 64),
    ],
)
def test_initial_values_are_scaled_by_what_an_output_sees(
    layer: Callable[..., layers.Layer], fan_in: int
) -> None:
    made = layer(kernel_initializer="lecun_normal")
    layers.build(made, tf.TensorSpec([None, 8, 8, 64]))
    w = made.named_variables()["w"].numpy()
    assert np.std(w) == pytest.approx(fan_in**-0.5, rel=0.05)
    assert abs(np.mean(w)) < 0.05 * fan_in**-0.5


@pytest.mark.parametrize(("kernel_size", "strides"), [(4, 2), (2, 2), (3, 1)])
def test_transposed_convolution_keeps_the_variance(kernel_size: int, strides: int) -> None:
    layer = layers.ConvTranspose2D(
        32, kernel_size, strides, padding="valid", kernel_initializer="lecun_normal"
    )
    y = layer(_draw([8, 12, 12, 64]))[:, kernel_size:-kernel_size, kernel_size:-kernel_size]
    assert np.var(y) == pytest.approx(1, rel=0.1)


def test_orthogonal_transposed_convolution_keeps_the_norm() -> None:
    """Windows beside each other: each input becomes a block of outputs by an orthogonal matrix."""
    layer = layers.ConvTranspose2D(3, [2, 3], [2, 3], kernel_initializer="orthogonal")
    x = _draw([2, 4, 5, 6])
    norms = tf.norm(x, axis=-1)
    blocks = tf.reshape(layer(x), [2, 4, 2, 5, 3, 3])
    found = tf.norm(tf.reshape(tf.transpose(blocks, [0, 1, 3, 2, 4, 5]), [2, 4, 5, 18]), axis=-1)
    np.testing.assert_allclose(found, norms, rtol=1e-5)


def test_transposed_convolution_starts_as_the_convolution_whose_kernel_is_drawn() -> None:
    drawn = np.random.default_rng(1).normal(size=[2, 3, 5 * 2]).astype(np.float32)

    def initializer(shape: Any, dtype: str, seed: tf.Tensor) -> tf.Tensor:
        assert tuple(shape) == drawn.shape  # windows of 4 by strides of 2
        return tf.constant(drawn)

    layer = layers.ConvTranspose1D(5, 4, 2, padding="valid", kernel_initializer=initializer)
    x = _draw([2, 6, 3])
    before = np.pad(x, [[0, 0], [1, 1], [0, 0]])  # a window sees an input and the one before it
    pairs = before[:, :-1] @ drawn[1] + before[:, 1:] @ drawn[0]
    expected = pairs.reshape(2, 7, 5, 2).swapaxes(2, 3).reshape(2, 14, 5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_depthwise_outputs_see_their_own_channel() -> None:
    layer = layers.DepthwiseConv2D(3, depth_multiplier=2, kernel_initializer="ones")
    x = np.zeros([1, 3, 3, 2], np.float32)
    x[..., 1] = 1.0
    np.testing.assert_array_equal(layer(tf.constant(x))[0, 1, 1], [0, 0, 9, 9])
