"""Pooling."""

from __future__ import annotations

import keras
import tensorflow as tf

import layers
from declared.kinds import FOUR, IMAGE, PIXELS, SERIES, Parity, Wrong
from layers.testing import Case

STEPS = tf.TensorSpec([None, 7, 4])

CASES = [
    Case(layers.MaxPool1D, {"size": 3, "strides": 2, "padding": "same"}, STEPS, variables=0),
    Case(layers.MaxPool2D, {}, IMAGE, variables=0),
    Case(layers.AvgPool1D, {}, STEPS, variables=0),
    Case(layers.AvgPool2D, {"size": 3, "strides": 2, "padding": "same"}, IMAGE, variables=0),
    Case(layers.GlobalAvgPool1D, {}, SERIES, variables=0),
    Case(layers.GlobalAvgPool2D, {}, IMAGE, variables=0),
    Case(layers.GlobalMaxPool1D, {}, SERIES, variables=0),
    Case(layers.GlobalMaxPool2D, {}, IMAGE, variables=0),
]

PARITY = [
    Parity("max pool 1D", lambda: layers.MaxPool1D(), lambda: keras.layers.MaxPool1D(), STEPS),
    Parity(
        "overlapping max pool 1D",
        lambda: layers.MaxPool1D(3, strides=2, padding="same"),
        lambda: keras.layers.MaxPool1D(3, strides=2, padding="same"),
        STEPS,
    ),
    Parity("max pool", lambda: layers.MaxPool2D(), lambda: keras.layers.MaxPool2D(), IMAGE),
    Parity(
        "overlapping max pool",
        lambda: layers.MaxPool2D(3, strides=2, padding="same"),
        lambda: keras.layers.MaxPool2D(3, strides=2, padding="same"),
        IMAGE,
    ),
    Parity(
        "average pool 1D",
        lambda: layers.AvgPool1D(3, strides=2),
        lambda: keras.layers.AveragePooling1D(3, strides=2),
        STEPS,
    ),
    Parity(
        "average pool 1D over the edge",
        lambda: layers.AvgPool1D(3, padding="same"),
        lambda: keras.layers.AveragePooling1D(3, padding="same"),
        STEPS,
    ),
    Parity(
        "average pool",
        lambda: layers.AvgPool2D([3, 2], strides=1, padding="same"),
        lambda: keras.layers.AvgPool2D([3, 2], strides=1, padding="same"),
        IMAGE,
    ),
    Parity(
        "global average pool 1D",
        lambda: layers.GlobalAvgPool1D(),
        lambda: keras.layers.GlobalAveragePooling1D(),
        STEPS,
    ),
    Parity(
        "global average pool",
        lambda: layers.GlobalAvgPool2D(),
        lambda: keras.layers.GlobalAveragePooling2D(),
        IMAGE,
    ),
    Parity(
        "global max pool 1D",
        lambda: layers.GlobalMaxPool1D(),
        lambda: keras.layers.GlobalMaxPooling1D(),
        STEPS,
    ),
    Parity(
        "global max pool",
        lambda: layers.GlobalMaxPool2D(),
        lambda: keras.layers.GlobalMaxPooling2D(),
        IMAGE,
    ),
]

WRONG = [
    Wrong(
        lambda: layers.MaxPool2D(2, strides=0),
        "MaxPool2D: strides must be a whole number, at least 1; got 0",
    ),
    Wrong(
        lambda: layers.AvgPool1D([2, 2]),
        "AvgPool1D: size must be one number or 1 of them; got [2, 2]",
    ),
    Wrong(
        lambda: layers.MaxPool1D(padding="causal"),  # type: ignore[arg-type]
        "MaxPool1D: padding must be 'same' or 'valid'; got 'causal'. Valid: same, valid.",
    ),
    Wrong(
        lambda: layers.MaxPool2D(),
        "at (MaxPool2D): expects [batch, height, width, channels] (rank 4), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.MaxPool1D(),
        "at (MaxPool1D): expects [batch, time, channels] (rank 3), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.AvgPool2D(9),
        "at (AvgPool2D): a window of [9, 9] does not fit into [None, 8, 8, 3] uint8; use a "
        'smaller window, fewer layers that shrink the image, or padding="same"',
        PIXELS,
    ),
    Wrong(
        lambda: layers.GlobalAvgPool2D(),
        "at (GlobalAvgPool2D): expects [batch, height, width, channels] (rank 4), got [None, 4] "
        "float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.GlobalMaxPool2D(),
        "at (GlobalMaxPool2D): expects [batch, height, width, channels] (rank 4), got "
        "[None, 3, 4] float32",
        SERIES,
    ),
    Wrong(
        lambda: layers.GlobalMaxPool1D(),
        "at (GlobalMaxPool1D): expects [batch, time, channels] (rank 3), got [None, 8, 8, 3] uint8",
        PIXELS,
    ),
    Wrong(
        lambda: layers.GlobalAvgPool1D()(tf.zeros([2, 3, 4]), mask=tf.ones([2], tf.bool)),
        "GlobalAvgPool1D: expects a mask [batch, time], got [2] bool",
    ),
]
