"""The table of a model."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

import layers


def test_rows_have_paths_shapes_and_counts_that_sum_to_the_model() -> None:
    shared = layers.Dense(4)
    model = layers.Stack(
        {
            "conv": layers.Conv2D(4, 3, compute_dtype="bfloat16"),
            "norm": layers.BatchNorm(),
            "pool": layers.GlobalAvgPool2D(),
            "dense": shared,
            "again": layers.Residual(shared),
        }
    )
    layers.build(model, tf.TensorSpec([None, 8, 6, 3]))
    rows = layers.summarize(model)
    assert rows == [
        layers.Row("", "Stack", (None, 4), 0, 0, "float32", 0),
        layers.Row("conv", "Conv2D", (None, 8, 6, 4), 112, 112, "bfloat16", 8 * 6 * 4 * 27),
        layers.Row("norm", "BatchNorm", (None, 8, 6, 4), 16, 8, "float32", 0),
        layers.Row("pool", "GlobalAvgPool2D", (None, 4), 0, 0, "float32", 0),
        layers.Row("dense", "Dense", (None, 4), 20, 20, "float32", 2 * 16),
        layers.Row("again", "Residual", (None, 4), 0, 0, "float32", 0),
    ]
    assert sum(row.parameters for row in rows) == sum(
        v.shape.num_elements() for v in model.variables
    )


def test_several_outputs_have_a_shape_each() -> None:
    class Two(layers.Layer):
        def call(self, x: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
            return x, x[:, :1]

    model = Two()
    layers.build(model, tf.TensorSpec([None, 3]))
    assert layers.summarize(model)[0].output_shape == ((None, 3), (None, 1))


def test_building_again_for_another_size_shows_the_new_shapes() -> None:
    model = layers.Stack({"pool": layers.MaxPool2D()})
    for size in (8, 6):
        layers.build(model, tf.TensorSpec([None, size, size, 1]))
    assert layers.summarize(model)[1].output_shape == (None, 3, 3, 1)


def test_a_model_that_is_not_built_says_so() -> None:
    with pytest.raises(layers.LayerError) as error:
        layers.summarize(layers.Stack({"a": layers.Dense(3)}))
    assert str(error.value) == "Stack: is not built; call layers.build(model, spec) first"


@pytest.mark.parametrize(
    ("make", "spec", "expected"),
    [
        (lambda: layers.Dense(5), [7, 3], 7 * 3 * 5),
        (lambda: layers.Conv2D(6, 3, strides=2, groups=2), [8, 8, 4], 4 * 4 * 6 * 9 * 2),
        # Input products of all steps, then a product with the state in each.
        (lambda: layers.Recurrent(layers.RNNCell(5)), [4, 3], 4 * 3 * 5 + 4 * 5 * 5),
        (lambda: layers.Recurrent(layers.GRUCell(5)), [20, 3], 20 * (3 * 15 + 5 * 15)),
        (lambda: layers.Flatten(), [8, 8], 0),
    ],
)
def test_multiply_adds_of_one_example(make: Any, spec: list[int], expected: int) -> None:
    model = layers.Stack({"layer": make()})
    layers.build(model, tf.TensorSpec([None, *spec]))
    assert sum(row.multiply_adds or 0 for row in layers.summarize(model)) == expected


def test_multiply_adds_are_unknown_where_a_size_is() -> None:
    model = layers.Stack({"dense": layers.Dense(3), "relu": layers.Activation("relu")})
    layers.build(model, tf.TensorSpec([None, None, 4]))
    assert [row.multiply_adds for row in layers.summarize(model)] == [0, None, 0]


def test_frozen_weights_do_not_count_as_trainable() -> None:
    model = layers.Stack({"a": layers.Dense(3), "b": layers.Dense(2)}, freeze=["a/*"])
    layers.build(model, tf.TensorSpec([None, 4]))
    assert [(row.parameters, row.trainable) for row in layers.summarize(model)] == [
        (0, 0),
        (15, 0),
        (8, 8),
    ]
