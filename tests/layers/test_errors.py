"""What layers say about wrong arguments and wrong inputs, word for word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

import layers

ARGUMENTS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: layers.Dense(0),
        "Dense: units must be a whole number, at least 1; got 0",
    ),
    (
        lambda: layers.Dense("64"),  # type: ignore[arg-type]
        "Dense: units must be a whole number, at least 1; got '64'",
    ),
    (lambda: layers.Dense(True), "Dense: units must be a whole number, at least 1; got True"),
    (
        lambda: layers.Dense(3, activation="rleu"),
        "unknown activation 'rleu'. Did you mean 'relu' or 'elu' or 'silu'?",
    ),
    (
        lambda: layers.Dense(3, kernel_initializer="he_norm"),
        "unknown initializer 'he_norm'. Did you mean 'he_normal' or 'he_uniform' or "
        "'lecun_normal'?",
    ),
    (
        lambda: layers.Dense(3, compute_dtype="bfloat"),
        "unknown floating dtype 'bfloat'. Did you mean 'bfloat16' or 'float64' or 'float32'?",
    ),
    (
        lambda: layers.Dense(3, param_dtype="int32"),
        "unknown floating dtype 'int32'. Did you mean 'float32'?",
    ),
    (lambda: layers.Dropout(1.0), "Dropout: rate must be a number in [0, 1); got 1.0"),
    (lambda: layers.Dropout(-0.1), "Dropout: rate must be a number in [0, 1); got -0.1"),
    (lambda: layers.Dropout(float("nan")), "Dropout: rate must be a number in [0, 1); got nan"),
    (
        lambda: layers.Conv2D(4, 0),
        "Conv2D: kernel_size must be a whole number, at least 1; got 0",
    ),
    (
        lambda: layers.Conv2D(4, [3, 3, 3]),
        "Conv2D: kernel_size must be one number or 2 of them; got [3, 3, 3]",
    ),
    (
        lambda: layers.Conv2D(4, 3, padding="smae"),
        "Conv2D: padding must be 'same' or 'valid'; got 'smae'. Did you mean 'same'?",
    ),
    (
        lambda: layers.Conv2D(4, 3, padding="full"),
        "Conv2D: padding must be 'same' or 'valid'; got 'full'. Valid: same, valid.",
    ),
    (
        lambda: layers.Conv2D(4, 3, strides=2, dilation=2),
        "Conv2D: strides [2, 2] and dilation [2, 2] cannot both be larger than 1",
    ),
    (
        lambda: layers.Conv2D(5, 3, groups=2),
        "Conv2D: 5 filters cannot be split into 2 groups",
    ),
    (
        lambda: layers.MaxPool2D(2, strides=0),
        "MaxPool2D: strides must be a whole number, at least 1; got 0",
    ),
    (
        lambda: layers.BatchNorm(momentum=1),
        "BatchNorm: momentum must be a number in [0, 1); got 1",
    ),
    (
        lambda: layers.LayerNorm(epsilon=-1),
        "LayerNorm: epsilon must be a number in [0, inf); got -1",
    ),
    (
        lambda: layers.Embedding(0, 3),
        "Embedding: vocabulary must be a whole number, at least 1; got 0",
    ),
    (
        lambda: layers.Reshape([-1, 2, -1]),
        "Reshape: only one size of shape may be -1; got [-1, 2, -1]",
    ),
    (
        lambda: layers.Reshape([0]),
        "Reshape: shape must be a whole number, at least 1; got 0",
    ),
    (
        lambda: layers.Stack({"a": 3}),  # type: ignore[dict-item]
        "Stack: layers.a must be a Layer, got 3; a function becomes a layer by "
        "Activation(function)",
    ),
    (
        lambda: layers.Stack({"a/b": layers.Dense(2)}),
        "Stack: 'a/b' cannot name a layer; a name is not empty and has no /",
    ),
    (
        lambda: layers.Residual("x"),  # type: ignore[arg-type]
        "Residual: block must be a Layer, got 'x'; a function becomes a layer by "
        "Activation(function)",
    ),
]

IMAGE, ROWS = tf.TensorSpec([None, 8, 8, 3], tf.uint8), tf.TensorSpec([None, 4])
INPUTS: list[tuple[Callable[[], layers.Layer], tf.TensorSpec, str]] = [
    (
        lambda: layers.Conv2D(4, 3),
        ROWS,
        "at (Conv2D): expects [batch, height, width, channels] (rank 4), got [None, 4] float32",
    ),
    (
        lambda: layers.Conv2D(4, 3, groups=2),
        IMAGE,
        "at (Conv2D): the channels of [None, 8, 8, 3] uint8 cannot be split into 2 groups",
    ),
    (
        lambda: layers.Conv2D(4, 5, padding="valid", dilation=2),
        IMAGE,
        "at (Conv2D): a window of [9, 9] does not fit into [None, 8, 8, 3] uint8; use a smaller "
        'window, fewer layers that shrink the image, or padding="same"',
    ),
    (
        lambda: layers.Conv2D(4, 3),
        tf.TensorSpec([None, 8, 8, None]),
        "at (Conv2D): needs axis -1 of its input to be known when it is built, got "
        "[None, 8, 8, None] float32",
    ),
    (
        lambda: layers.MaxPool2D(),
        ROWS,
        "at (MaxPool2D): expects [batch, height, width, channels] (rank 4), got [None, 4] float32",
    ),
    (
        lambda: layers.AvgPool2D(9),
        IMAGE,
        "at (AvgPool2D): a window of [9, 9] does not fit into [None, 8, 8, 3] uint8; use a "
        'smaller window, fewer layers that shrink the image, or padding="same"',
    ),
    (
        lambda: layers.GlobalAvgPool2D(),
        ROWS,
        "at (GlobalAvgPool2D): expects [batch, height, width, channels] (rank 4), got [None, 4] "
        "float32",
    ),
    (
        lambda: layers.Dense(3),
        tf.TensorSpec([None]),
        "at (Dense): expects [batch, ..., inputs] (rank 2 or more), got [None] float32",
    ),
    (
        lambda: layers.BatchNorm(),
        tf.TensorSpec([None, None]),
        "at (BatchNorm): needs axis -1 of its input to be known when it is built, got "
        "[None, None] float32",
    ),
    (
        lambda: layers.LayerNorm(axis=2),
        ROWS,
        "at (LayerNorm): axis must be different axes of its input, not the batch's (0); got axis "
        "[2] for [None, 4] float32",
    ),
    (
        lambda: layers.LayerNorm(axis=[1, -1]),
        ROWS,
        "at (LayerNorm): axis must be different axes of its input, not the batch's (0); got axis "
        "[1, -1] for [None, 4] float32",
    ),
    (
        lambda: layers.Embedding(4, 2),
        ROWS,
        "at (Embedding): expects integer tokens, got [None, 4] float32",
    ),
    (
        lambda: layers.Reshape([3, -1]),
        ROWS,
        "at (Reshape): cannot lay out [None, 4] float32, 4 values an example, as [3, -1]",
    ),
]


@pytest.mark.parametrize(("make", "message"), ARGUMENTS, ids=[text for _, text in ARGUMENTS])
def test_wrong_argument(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(layers.LayerError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(("make", "spec", "message"), INPUTS, ids=[text for _, _, text in INPUTS])
def test_wrong_input(make: Callable[[], Any], spec: tf.TensorSpec, message: str) -> None:
    with pytest.raises(layers.LayerError) as error:
        layers.build(layers.Stack({"at": make()}), spec)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "make", [lambda: layers.Dense(3), lambda: layers.Conv2D(3, 3), lambda: layers.BatchNorm()]
)
def test_another_size_than_it_was_built_for(make: Callable[[], layers.Layer]) -> None:
    layer = make()
    shape = [2, 8, 8]
    layer(tf.zeros([*shape, 3]))
    with pytest.raises(layers.LayerError) as error:
        layer(tf.zeros([*shape, 5]))
    assert str(error.value) == (
        f"{type(layer).__name__}: was built for a last axis of 3, got [2, 8, 8, 5] float32"
    )


def test_training_is_a_python_bool() -> None:
    with pytest.raises(layers.LayerError, match="Dense: training must be True or False, got "):
        layers.Dense(3)(tf.zeros([2, 2]), training=tf.constant(True))


def test_what_tensorflow_refuses_is_said_with_path_and_shapes() -> None:
    class Mine(layers.Layer):
        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            return tf.matmul(x, tf.ones([7, 7]))

    with pytest.raises(layers.LayerError) as error:
        layers.build(layers.Stack({"block": layers.Stack({"mine": Mine()})}), ROWS)
    assert str(error.value).startswith("block/mine (Mine): cannot take [None, 4] float32: ")


def test_a_layer_without_call_says_so() -> None:
    class Empty(layers.Layer):
        pass

    with pytest.raises(layers.LayerError, match="Empty must define call"):
        Empty()(tf.zeros([1, 1]))


def test_a_class_that_forgets_super_init_is_told() -> None:
    class Hasty(layers.Layer):
        def __init__(self) -> None:
            self.units = 3

    with pytest.raises(layers.LayerError, match=r"Hasty: call super\(\).__init__"):
        Hasty()(tf.zeros([1, 1]))


def test_sizes_that_are_not_known_may_stay_so() -> None:
    model = layers.Stack({"conv": layers.Conv2D(3, 3), "pool": layers.GlobalAvgPool2D()})
    assert layers.build(model, tf.TensorSpec([None, None, None, 2])).shape.as_list() == [None, 3]
    flat = layers.Flatten()
    traced = tf.function(flat, input_signature=[tf.TensorSpec([None, None, 2])], autograph=False)
    assert traced(tf.zeros([0, 3, 2])).shape == (0, 6)
    shaped = layers.Reshape([-1, 2])
    traced = tf.function(shaped, input_signature=[tf.TensorSpec([None, None])], autograph=False)
    assert traced(tf.zeros([0, 6])).shape == (0, 3, 2)
    assert traced(tf.zeros([2, 6])).shape == (2, 3, 2)
