"""Layers that keep or take statistics."""

from __future__ import annotations

import keras
import tensorflow as tf

import layers
from declared.kinds import FOUR, IMAGE, PIXELS, ROWS, SERIES, Parity, Wrong
from layers.testing import Case

CASES = [
    Case(layers.BatchNorm, {"momentum": 0.5}, IMAGE, variables=4, state=True),
    Case(
        layers.BatchNorm, {"use_scale": False, "use_offset": False}, ROWS, variables=2, state=True
    ),
    Case(layers.LayerNorm, {}, SERIES, variables=2),
    Case(layers.LayerNorm, {"axis": [1, 3]}, IMAGE, variables=2),
    Case(layers.RMSNorm, {}, SERIES, variables=1),
    Case(layers.RMSNorm, {"axis": [1, 3]}, IMAGE, variables=1),
    Case(layers.GroupNorm, {"groups": 2}, IMAGE, variables=2),
    Case(layers.GroupNorm, {"groups": 2, "use_scale": False}, FOUR, variables=1),
    Case(layers.InstanceNorm, {}, IMAGE, variables=2),
    Case(layers.Standardize, {}, PIXELS, variables=2, fixed=True),
    Case(layers.Standardize, {"axis": [1, 3]}, IMAGE, variables=2, fixed=True),
    Case(layers.Standardize, {"axis": None}, ROWS, variables=2, fixed=True),
    Case(layers.MovingAverage, {"decay": 0.9}, SERIES, variables=2, state=True, stops=True),
    Case(layers.RunningStatistics, {}, ROWS, variables=3, state=True, stops=True),
    Case(
        layers.RunningStatistics,
        {"axis": [1, 3], "epsilon": 1e-3},
        PIXELS,
        variables=3,
        state=True,
        stops=True,
    ),
]

PARITY = [
    Parity(
        "batch norm",
        lambda: layers.BatchNorm(),
        lambda: keras.layers.BatchNormalization(),
        IMAGE,
        ["scale", "offset"],
    ),
    Parity(
        "layer norm",
        lambda: layers.LayerNorm(epsilon=1e-3),
        lambda: keras.layers.LayerNormalization(epsilon=1e-3),
        SERIES,
        ["scale", "offset"],
    ),
    Parity(
        "layer norm over two axes",
        lambda: layers.LayerNorm(axis=[1, 2], epsilon=1e-3),
        lambda: keras.layers.LayerNormalization(axis=[1, 2], epsilon=1e-3),
        SERIES,
        ["scale", "offset"],
    ),
    Parity(
        "rms norm",
        lambda: layers.RMSNorm(),
        lambda: keras.layers.RMSNormalization(),
        SERIES,
        ["scale"],
    ),
    Parity(
        "group norm",
        lambda: layers.GroupNorm(2),
        lambda: keras.layers.GroupNormalization(2, epsilon=1e-5),
        IMAGE,
        ["scale", "offset"],
    ),
    Parity(
        "group norm of rows",
        lambda: layers.GroupNorm(2, use_offset=False),
        lambda: keras.layers.GroupNormalization(2, epsilon=1e-5, center=False),
        FOUR,
        ["scale"],
    ),
    Parity(
        "instance norm",
        lambda: layers.InstanceNorm(),
        lambda: keras.layers.GroupNormalization(-1, epsilon=1e-5),
        IMAGE,
        ["scale", "offset"],
    ),
]

WRONG = [
    Wrong(
        lambda: layers.BatchNorm(momentum=1),
        "BatchNorm: momentum must be a number in [0, 1); got 1",
    ),
    Wrong(
        lambda: layers.LayerNorm(epsilon=-1),
        "LayerNorm: epsilon must be a number in [0, inf); got -1",
    ),
    Wrong(
        lambda: layers.GroupNorm(3),
        "at (GroupNorm): groups=3 does not divide the 4 channels of [None, 4] float32; possible: "
        "1, 2, 4",
        FOUR,
    ),
    Wrong(
        lambda: layers.InstanceNorm(),
        "at (InstanceNorm): expects [batch, places ..., channels] (rank 3 or more), got [None, 4] "
        "float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.RMSNorm(axis=0),
        "at (RMSNorm): axis must be different axes of its input, not the batch's (0); got axis "
        "[0] for [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Standardize(axis=[0, 1]),
        "at (Standardize): axis must be different axes of its input, not the batch's (0); got "
        "axis [0, 1] for [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.RunningStatistics(axis=-2),
        "at (RunningStatistics): axis must be different axes of its input, not the batch's (0); "
        "got axis [-2] for [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.MovingAverage(1.0),
        "MovingAverage: decay must be a number in [0, 1); got 1.0",
    ),
    Wrong(
        lambda: layers.MovingAverage(0.9),
        "at (MovingAverage): needs axis 1 of its input to be known when it is built, got "
        "[None, None] float32",
        tf.TensorSpec([None, None]),
    ),
    Wrong(
        lambda: layers.BatchNorm(),
        "at (BatchNorm): needs axis -1 of its input to be known when it is built, got "
        "[None, None] float32",
        tf.TensorSpec([None, None]),
    ),
    Wrong(
        lambda: layers.LayerNorm(axis=2),
        "at (LayerNorm): axis must be different axes of its input, not the batch's (0); got axis "
        "[2] for [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.LayerNorm(axis=[1, -1]),
        "at (LayerNorm): axis must be different axes of its input, not the batch's (0); got axis "
        "[1, -1] for [None, 4] float32",
        FOUR,
    ),
]
