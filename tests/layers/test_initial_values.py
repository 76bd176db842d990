"""Initial values: their spread, and what they depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hydra.utils import instantiate

import layers
from layers import initializers

ROWS = tf.TensorSpec([None, 6])
SEED = np.array([1, 2], np.int64)
KERNEL = (3, 3, 40, 60)  # fan-in 360, fan-out 540


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / (360 + 540)),
        ("glorot_normal", 2 / (360 + 540)),
        ("he_uniform", 2 / 360),
        ("he_normal", 2 / 360),
        ("lecun_uniform", 1 / 360),
        ("lecun_normal", 1 / 360),
        ("normal", 0.05**2),
        ("uniform", 0.05**2 / 3),
        ("truncated_normal", (0.05 * 0.87962566) ** 2),
    ],
)
def test_variance_and_mean_are_those_of_the_definition(name: str, variance: float) -> None:
    value = initializers.get(name)(KERNEL, "float32", SEED).numpy()
    assert value.var() == pytest.approx(variance, rel=0.02)
    assert abs(value.mean()) < 4 * (variance / value.size) ** 0.5


def test_constants() -> None:
    seed = tf.constant([0, 0], tf.int64)
    assert initializers.zeros((2,), "float64", seed).numpy().tolist() == [0, 0]
    assert initializers.ones((2,), "float32", seed).numpy().tolist() == [1, 1]
    assert initializers.constant(3)((2,), "float32", seed).numpy().tolist() == [3, 3]


@pytest.mark.parametrize(
    ("initializer", "limit"),
    [
        (initializers.get("uniform"), 0.05),
        (initializers.get("truncated_normal"), 0.1),
        (initializers.get("he_uniform"), (6 / 360) ** 0.5),
        (initializers.get("he_normal"), 2 * (2 / 360) ** 0.5 / 0.87962566),
        (initializers.uniform(0.3), 0.3),
        (initializers.truncated_normal(0.02), 0.04),
    ],
)
def test_no_value_is_beyond_the_limit_and_some_are_near(
    initializer: initializers.Initializer, limit: float
) -> None:
    value = initializer(KERNEL, "float32", SEED).numpy()
    assert 0.98 * limit < np.abs(value).max() <= limit * 1.000001


@pytest.mark.parametrize("shape", [(6, 6), (3, 8), (2, 3, 4)])
def test_orthogonal_has_orthonormal_rows_or_columns(shape: tuple[int, ...]) -> None:
    value = initializers.orthogonal(shape, "float32", SEED).numpy().reshape([-1, shape[-1]])
    tall = value if value.shape[0] >= value.shape[1] else value.T
    np.testing.assert_allclose(tall.T @ tall, np.eye(tall.shape[1]), atol=1e-6)


def test_identity_is_the_gain_on_the_diagonal() -> None:
    value = initializers.get("identity")((3, 3), "bfloat16", SEED)
    assert value.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(value, tf.float32), np.eye(3))
    scaled = initializers.identity(gain=0.5)((2, 3), "float32", SEED)
    np.testing.assert_array_equal(scaled, 0.5 * np.eye(2, 3))
    with pytest.raises(layers.LayerError) as error:
        layers.build(layers.Bias("identity"), ROWS)
    assert str(error.value) == "Bias: b: initializer identity: makes matrices, not the shape [6]"


def test_fans_are_those_of_a_kernel() -> None:
    assert initializers.fans([4, 5]) == (4, 5)
    assert initializers.fans(KERNEL) == (360, 540)
    assert initializers.fans([7]) == (7, 7)


def test_a_config_gives_an_initializer_its_arguments() -> None:
    kernel = {"_target_": "layers.initializers.truncated_normal", "deviation": 0.02}
    layer = instantiate({"_target_": "layers.Dense", "units": 400, "kernel_initializer": kernel})
    layers.build(layer, tf.TensorSpec([None, 100]))
    assert layer.w.numpy().std() == pytest.approx(0.02 * 0.87962566, rel=0.02)


def _values(model: layers.Layer, seed: int = 0) -> dict[str, np.ndarray]:
    layers.build(model, ROWS, seed=seed)
    return {path: v.numpy() for path, v in model.named_variables().items()}


def test_adding_a_layer_leaves_the_others_initial_values() -> None:
    few = _values(layers.Stack({"a": layers.Dense(6), "c": layers.Dense(6)}))
    many = _values(
        layers.Stack(
            {
                "new": layers.Dense(6),
                "a": layers.Dense(6),
                "b": layers.Dense(6),
                "c": layers.Dense(6),
            }
        )
    )
    for path, value in few.items():
        np.testing.assert_array_equal(many[path], value)


def test_layers_and_seeds_have_values_of_their_own() -> None:
    def model() -> layers.Layer:
        return layers.Stack({"a": layers.Dense(6), "b": layers.Dense(6)})

    one, two = _values(model(), seed=1), _values(model(), seed=2)
    kernels = [one["a/w"], one["b/w"], two["a/w"], two["b/w"]]
    correlation = np.corrcoef([k.ravel() for k in kernels])
    assert np.abs(correlation - np.eye(4)).max() < 0.5  # 36 values: 3 deviations
    np.testing.assert_array_equal(_values(model(), seed=1)["a/w"], one["a/w"])


def test_two_variables_of_one_name_are_refused() -> None:
    class Twice(layers.Layer):
        def build(self, x: tf.TensorSpec) -> None:
            self.a = self.weight("w", [2], "normal")
            self.b = self.weight("w", [2], "normal")

    with pytest.raises(layers.LayerError, match="Twice: has two variables called 'w'"):
        layers.build(Twice(), ROWS)


@pytest.mark.parametrize("name", ["he_normal", "uniform", "normal", "truncated_normal"])
def test_xla_draws_the_same_initial_values(name: str) -> None:
    def draw() -> Any:
        return initializers.get(name)((64,), "float32", tf.constant([1, 2], tf.int64))

    graph, compiled = (tf.function(draw, jit_compile=jit)() for jit in (False, True))
    np.testing.assert_allclose(graph, compiled, rtol=1e-5, atol=1e-7)


def test_param_dtype_is_the_weights_alone() -> None:
    model = layers.Stack({"a": layers.Dense(2), "norm": layers.BatchNorm()}, param_dtype="bfloat16")
    layers.build(model, ROWS)
    dtypes = {path: v.dtype.name for path, v in model.named_variables().items()}
    assert dtypes["a/w"] == dtypes["norm/scale"] == "bfloat16"
    assert dtypes["norm/moving_mean"] == "float32"
