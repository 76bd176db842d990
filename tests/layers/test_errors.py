"""What the base class says; each layer's own messages: tests/conformance/declared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import layers

ROWS = tf.TensorSpec([None, 4])


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


def test_a_numpy_array_is_taken_as_a_tensor() -> None:
    assert layers.Dense(3)(np.ones([2, 4], np.float32)).shape == (2, 3)


def test_what_an_initializer_refuses_is_said_with_the_layer_and_the_weight() -> None:
    layer = layers.Conv2D(3, 3, kernel_initializer="identity")
    with pytest.raises(layers.LayerError, match=r"^at \(Conv2D\): w: "):
        layers.build(layers.Stack({"at": layer}), tf.TensorSpec([None, 8, 8, 2]))


def test_a_weight_without_values_is_refused() -> None:
    class Empty(layers.Layer):
        def build(self, x: tf.TensorSpec) -> None:
            self.w = self.weight("w", [4, 0], "zeros")

        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            return x @ self.w

    with pytest.raises(layers.LayerError) as error:
        layers.build(layers.Stack({"at": Empty()}), ROWS)
    assert str(error.value) == "at (Empty): w would have the shape [4, 0]; sizes are at least 1"
