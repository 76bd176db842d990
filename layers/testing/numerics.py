"""Checks of a layer's arithmetic: gradients, narrow and wide dtypes, XLA."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from layers.core.model import build, set_precision
from layers.core.roles import outer_variables
from layers.testing.case import (
    Case,
    assert_close,
    assign,
    gradients_of,
    objective,
    step,
    values,
)

_STEP = 1e-6  # of finite differences: its square and float64's rounding over it are both small


def check_every_trainable_gets_a_gradient(case: Case) -> None:
    """No weight is disconnected from the output, and none gets a sparse gradient."""
    layer = case.built()
    _, gradients = gradients_of(layer, case.examples(4))
    for path, gradient in gradients.items():
        assert gradient is not None, f"{path} has no gradient"
        assert isinstance(gradient, tf.Tensor), f"{path} has a sparse gradient"
        assert np.isfinite(gradient.numpy()).all(), f"the gradient of {path} is not finite"
        assert np.any(gradient.numpy() != 0), f"the gradient of {path} is zero"


def check_gradients_equal_finite_differences(case: Case) -> None:
    """In float64, along one random direction for each weight and each input.

    Central differences: ``(f(w + h d) - f(w - h d)) / 2h`` against the gradient's product with d.
    """
    layer = case.make()
    set_precision(layer, "float64", "float64")
    xs = tf.nest.map_structure(
        lambda x: tf.cast(x, tf.float64) if x.dtype.is_floating else x, case.examples(3)
    )
    build(layer, *xs)
    start = values(layer)
    weights = outer_variables(layer)
    inputs = [x for x in tf.nest.flatten(xs) if x.dtype.is_floating]
    if layer.trains_itself or case.stops:
        inputs = []  # what passes through it is not the whole gradient

    def loss(*changed: tf.Tensor) -> tf.Tensor:
        left = iter(changed)
        given = tf.nest.map_structure(lambda x: next(left) if x.dtype.is_floating else x, xs)
        with step(given):
            return tf.reduce_sum(objective(layer(*given, training=True)))

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*weights.values(), *inputs])
        y = loss(*(inputs or tf.nest.flatten(xs)))
    gradients = tape.gradient(y, [*weights.values(), *inputs])
    names = [*weights, *(f"input {i}" for i in range(len(inputs)))]
    random = np.random.default_rng(1)
    for index, (name, gradient) in enumerate(zip(names, gradients, strict=True)):
        assert gradient is not None, f"{name} has no gradient"
        assert gradient.dtype == tf.float64, f"the gradient of {name} is {gradient.dtype.name}"
        direction = random.normal(size=gradient.shape)
        losses = []
        for sign in (1, -1):
            assign(layer, start)  # state that the last call moved
            changed = list(inputs)
            if name in weights:
                weights[name].assign_add(sign * _STEP * direction)
            else:
                changed[index - len(weights)] += sign * _STEP * direction
            losses.append(float(loss(*(changed or tf.nest.flatten(xs)))))
        slope = float(np.sum(direction * gradient))
        difference = (losses[0] - losses[1]) / (2 * _STEP)
        scale = max(1.0, abs(slope), float(np.abs(direction * gradient).sum()) * 1e-2)
        assert abs(slope - difference) <= 1e-6 * scale, (
            f"the gradient of {name} along a direction is {slope}, by differences {difference}"
        )


def check_computes_in_bfloat16(case: Case) -> None:
    """With that policy outputs are bfloat16 and near float32's; variables stay float32."""
    exact, layer = case.built(seed=1), case.make()
    set_precision(layer, "bfloat16")
    build(layer, *case.specs, seed=1)
    assert_close(values(layer), values(exact), 0, "initial values")
    xs = case.examples(4)
    for y, expected in zip(tf.nest.flatten(layer(*xs)), tf.nest.flatten(exact(*xs)), strict=True):
        if expected.dtype.is_floating and layer.compute_dtype == "bfloat16":
            # Layers that only move values keep the dtype of what they are given.
            kept = () if layer.variables else (case.inputs.dtype,)
            assert y.dtype in (tf.bfloat16, *kept), f"the output is {y.dtype.name}"
        assert_close(tf.cast(y, tf.float32), tf.cast(expected, tf.float32), 0.05, "output")
    _, gradients = gradients_of(layer, xs)
    for path, gradient in gradients.items():
        assert gradient.dtype == tf.float32, f"the gradient of {path} is {gradient.dtype}"
        assert np.isfinite(gradient.numpy()).all(), f"the gradient of {path} is not finite"


def check_xla_equals_graph(case: Case) -> None:
    """Compiled by XLA: outputs, gradients and state are the same to rounding."""
    layer = case.built(seed=1)
    start = values(layer)
    xs = case.examples(4)
    results = []
    for compiled in (False, True):
        assign(layer, start)
        run = tf.function(
            lambda *xs: gradients_of(layer, xs), jit_compile=compiled, autograph=False
        )
        results.append((run(*xs), values(layer)))
    assert_close(results[1], results[0], 1e-5, "compiled by XLA")
