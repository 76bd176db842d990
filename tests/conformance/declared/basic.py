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
    Case(layers.Permute, {"axes": [3, 1, 2]}, IMAGE, variables=0),
    Case(layers.Identity, {}, ROWS, variables=0),
    Case(layers.Bias, {}, SERIES, variables=1),
    Case(layers.PReLU, {"shared_axes": [1, 2]}, IMAGE, variables=1),
    Case(layers.PReLU, {"alpha_initializer": "uniform"}, ROWS, variables=1),
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
    Parity(
        "permute",
        lambda: layers.Permute([3, 1, 2]),
        lambda: keras.layers.Permute([3, 1, 2]),
        IMAGE,
        [],
    ),
    Parity("identity", lambda: layers.Identity(), lambda: keras.layers.Identity(), IMAGE, []),
    Parity("prelu", lambda: layers.PReLU(), lambda: keras.layers.PReLU(), SERIES, ["alpha"]),
    Parity(
        "prelu with shared axes",
        lambda: layers.PReLU([1, 2]),
        lambda: keras.layers.PReLU(shared_axes=[1, 2]),
        IMAGE,
        ["alpha"],
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
        lambda: layers.Permute([0, 1]),
        "Permute: axes must be a whole number, at least 1; got 0",
    ),
    Wrong(
        lambda: layers.Permute([1, 3]),
        "Permute: axes must be all of 1, 2, … once each, without the batch (0); got [1, 3]",
    ),
    Wrong(
        lambda: layers.Permute([2, 1]),
        "at (Permute): axes [2, 1] are for an input of rank 3, got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Bias(),
        "at (Bias): expects [batch, ..., features] (rank 2 or more), got [None] float32",
        tf.TensorSpec([None]),
    ),
    Wrong(
        lambda: layers.PReLU(shared_axes=2),
        "at (PReLU): shared_axes must be different axes of its input, not the batch's (0); got "
        "shared_axes [2] for [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.PReLU(),
        "at (PReLU): needs axis 1 of its input to be known when it is built, got "
        "[None, None, 4] float32",
        tf.TensorSpec([None, None, 4]),
    ),
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
