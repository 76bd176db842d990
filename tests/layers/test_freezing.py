"""Freezing and regularizing by patterns of paths."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import layers
from layers import regularizers

FOUR = tf.TensorSpec([None, 4])


def _model(**options: object) -> layers.Stack:
    encoder = layers.Stack({"hidden": layers.Dense(3), "norm": layers.BatchNorm()})
    model = layers.Stack({"encoder": encoder, "logits": layers.Dense(2)}, **options)
    layers.build(model, FOUR)
    return model


@pytest.mark.parametrize(
    ("freeze", "left"),
    [
        ([], ["encoder/hidden/b", "encoder/hidden/w", "encoder/norm/offset", "encoder/norm/scale"]),
        (["encoder/*"], []),
        (["*/b", "encoder/norm/*"], ["encoder/hidden/w"]),
        (["encoder/hidden/?"], ["encoder/norm/offset", "encoder/norm/scale"]),
    ],
)
def test_frozen_weights_are_no_one_s_to_train(freeze: list[str], left: list[str]) -> None:
    model = _model(freeze=freeze)
    trained = set(layers.trained_variables(model))
    assert sorted(path for path in trained if path.startswith("encoder")) == left
    assert set(layers.outer_variables(model)) == trained
    assert "logits/w" in trained


def test_a_pattern_is_seen_from_the_layer_that_has_it() -> None:
    inner = layers.Stack({"a": layers.Dense(3), "b": layers.Dense(3)}, freeze=["a/*"])
    model = layers.Stack({"a": layers.Dense(3), "inner": inner})
    layers.build(model, FOUR)
    assert sorted(layers.trained_variables(model)) == ["a/b", "a/w", "inner/b/b", "inner/b/w"]


def test_a_layer_made_in_build_is_frozen_too() -> None:
    class Late(layers.Layer):
        def build(self, x: tf.TensorSpec) -> None:
            self.inner = layers.Dense(3)

        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            return self.inner(x, training=training)

    model = layers.Stack({"late": Late()}, freeze=["late/inner/w"])
    layers.build(model, FOUR)
    assert list(layers.trained_variables(model)) == ["late/inner/b"]


def test_frozen_moving_statistics_are_used_as_in_evaluation() -> None:
    model = _model(freeze=["encoder/*"])
    encoder = model["encoder"]
    encoder["norm"].moving_mean.assign([1.0, 2.0, 3.0])
    before = [v.numpy() for v in encoder.variables]
    x = tf.random.stateless_normal([8, 4], [1, 2])
    np.testing.assert_array_equal(encoder(x, training=True), encoder(x, training=False))
    for variable, value in zip(encoder.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_pattern_that_names_nothing_is_an_error_with_the_nearest_path() -> None:
    with pytest.raises(layers.LayerError) as error:
        _model(freeze=["encodr/hidden/w"])
    assert str(error.value) == (
        "Stack: freeze names 'encodr/hidden/w', which no variable's path matches. "
        "Did you mean 'encoder/hidden/w' or 'encoder/hidden/b' or 'encoder/norm/scale'?"
    )
    with pytest.raises(layers.LayerError, match=r"Stack: regularizers names '\*/kernel', which no"):
        _model(regularizers={"*/kernel": regularizers.L2(0.1)})


@pytest.mark.parametrize("wrong", ["encoder/*", [3]])
def test_freeze_takes_a_list_of_patterns(wrong: object) -> None:
    with pytest.raises(layers.LayerError, match="Dense: freeze must be a list of patterns of"):
        layers.Dense(3, freeze=wrong)


def test_penalties_are_the_sums_of_their_formulas() -> None:
    model = _model(
        regularizers={
            "encoder/hidden/w": regularizers.L2(0.1),
            "logits/*": regularizers.L1(0.01),
            "*/w": regularizers.Orthogonal(0.5),
        }
    )
    w, v, b = (
        model.named_variables()[p].numpy() for p in ("encoder/hidden/w", "logits/w", "logits/b")
    )
    expected = 0.1 * (w**2).sum() + 0.01 * (np.abs(v).sum() + np.abs(b).sum())
    for m in (w, v):
        expected += 0.5 * ((m.T @ m - np.eye(m.shape[1])) ** 2).sum()
    penalty = layers.penalty_of(model, layers.outer_variables(model))
    assert penalty is not None
    np.testing.assert_allclose(penalty(), expected, rtol=1e-6)


def test_a_wide_kernel_is_brought_to_orthonormal_rows() -> None:
    kernel = tf.constant(np.random.default_rng(0).normal(size=(1, 2, 5)), tf.float32)
    m = kernel.numpy().reshape(2, 5)
    expected = 3.0 * ((m @ m.T - np.eye(2)) ** 2).sum()
    np.testing.assert_allclose(regularizers.Orthogonal(3.0)(kernel), expected, rtol=1e-6)


def test_shared_weights_pay_once_and_frozen_ones_nothing() -> None:
    shared = layers.Dense(4)
    model = layers.Stack(
        {"a": shared, "b": layers.Residual(shared), "c": layers.Dense(4)},
        regularizers={"*/w": regularizers.L2(1.0)},
        freeze=["c/*"],
    )
    layers.build(model, FOUR)
    penalty = layers.penalty_of(model, layers.outer_variables(model))
    assert penalty is not None
    np.testing.assert_allclose(penalty(), tf.reduce_sum(shared.w**2), rtol=1e-6)
    assert layers.penalty_of(model, {"c/w": model["c"].w}) is not None
    assert layers.penalty_of(layers.Dense(2), {}) is None


@pytest.mark.parametrize("strength", [-1, float("inf"), "0.1", True])
def test_a_strength_is_a_number_that_is_not_negative(strength: object) -> None:
    with pytest.raises(
        layers.LayerError, match=r"L2: strength must be a number in \[0, inf\); got"
    ):
        regularizers.L2(strength)


def test_regularizers_are_functions() -> None:
    with pytest.raises(layers.LayerError, match="Dense: regularizers must map patterns of paths"):
        layers.Dense(3, regularizers={"w": 0.1})


def test_a_vector_cannot_be_made_orthogonal() -> None:
    with pytest.raises(layers.LayerError, match=r"Orthogonal\(1\): needs a matrix or a kernel"):
        regularizers.Orthogonal(1.0)(tf.zeros([3]))


def test_a_variable_that_two_layers_hold_pays_once() -> None:
    class Pair(layers.Layer):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)
            self.first, self.second = layers.Dense(3, use_bias=False), Hold()

        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            y = self.first(x, training=training)
            self.second.w = self.first.w
            return self.second(y, training=training)

    class Hold(layers.Layer):
        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            return x @ tf.transpose(self.w)

    model = Pair(regularizers={"*/w": regularizers.L2(1.0)})
    layers.build(model, FOUR)
    penalty = layers.penalty_of(model, layers.outer_variables(model))
    assert penalty is not None
    np.testing.assert_allclose(penalty(), tf.reduce_sum(model.first.w**2), rtol=1e-6)
