"""The table of a model."""

from __future__ import annotations

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
        layers.Row("", "Stack", (None, 4), 0, 0, "float32"),
        layers.Row("conv", "Conv2D", (None, 8, 6, 4), 112, 112, "bfloat16"),
        layers.Row("norm", "BatchNorm", (None, 8, 6, 4), 16, 8, "float32"),
        layers.Row("pool", "GlobalAvgPool2D", (None, 4), 0, 0, "float32"),
        layers.Row("dense", "Dense", (None, 4), 20, 20, "float32"),
        layers.Row("again", "Residual", (None, 4), 0, 0, "float32"),
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
