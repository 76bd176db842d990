"""Dense layers and those that change the shape."""

from __future__ import annotations

import keras
import tensorflow as tf

import layers
from declared.kinds import FOUR, IMAGE, ROWS, SERIES, Parity, Wrong
from layers.testing import Case

CASES = [
    Case(layers.Dense, {"units": 3}, ROWS, variables=2),
    Case(layers.Dense, {"units": 3, "activation": "gelu", "use_bias": False}, SERIES, variables=1),
    Case(layers.Activation, {"function": "silu"}, ROWS, variables=0),
    Case(layers.Flatten, {}, IMAGE, variables=0),
    Case(layers.Reshape, {"shape": [2, -1]}, IMAGE, variables=0),
]

PARITY = [
    Parity(
        "dense",
        lambda: layers.Dense(3, activation="gelu"),
        lambda: keras.layers.Dense(3, activation="gelu"),
        SERIES,
        ["w", "b"],
    ),
    Parity("flatten", lambda: layers.Flatten(), lambda: keras.layers.Flatten(), IMAGE, []),
    Parity(
        "reshape", lambda: layers.Reshape([2, -1]), lambda: keras.layers.Reshape([2, -1]), IMAGE, []
    ),
]

WRONG = [
    Wrong(lambda: layers.Dense(0), "Dense: units must be a whole number, at least 1; got 0"),
    Wrong(lambda: layers.Dense("64"), "Dense: units must be a whole number, at least 1; got '64'"),
    Wrong(lambda: layers.Dense(True), "Dense: units must be a whole number, at least 1; got True"),
    Wrong(
        lambda: layers.Dense(3, activation="rleu"),
        "unknown activation 'rleu'. Did you mean 'relu' or 'elu' or 'silu'?",
    ),
    Wrong(
        lambda: layers.Dense(3, kernel_initializer="he_norm"),
        "unknown initializer 'he_norm'. Did you mean 'he_normal' or 'he_uniform' or "
        "'lecun_normal'?",
    ),
    Wrong(
        lambda: layers.Dense(3, compute_dtype="bfloat"),
        "unknown floating dtype 'bfloat'. Did you mean 'bfloat16' or 'float64' or 'float32'?",
    ),
    Wrong(
        lambda: layers.Dense(3, param_dtype="int32"),
        "unknown floating dtype 'int32'. Did you mean 'float32'?",
    ),
    Wrong(
        lambda: layers.Reshape([-1, 2, -1]),
        "Reshape: only one size of shape may be -1; got [-1, 2, -1]",
    ),
    Wrong(lambda: layers.Reshape([0]), "Reshape: shape must be a whole number, at least 1; got 0"),
    Wrong(
        lambda: layers.Stack({"a/b": layers.Dense(2)}),
        "Stack: 'a/b' cannot name a layer; a name is not empty and has no /",
    ),
    Wrong(
        lambda: layers.Dense(3),
        "at (Dense): expects [batch, ..., inputs] (rank 2 or more), got [None] float32",
        tf.TensorSpec([None]),
    ),
    Wrong(
        lambda: layers.Reshape([3, -1]),
        "at (Reshape): cannot lay out [None, 4] float32, 4 values an example, as [3, -1]",
        FOUR,
    ),
]
