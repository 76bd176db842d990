"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

import layers
from declared.kinds import FOUR, IMAGE, PIXELS, SERIES, Parity, Wrong
from layers.testing import Case

STEPS = tf.TensorSpec([None, 7, 4])
VOLUME = tf.TensorSpec([None, 4, 5, 3, 2])

CASES = [
    Case(
        layers.Conv1D,
        {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation": 2},
        STEPS,
        variables=2,
    ),
    Case(
        layers.Conv1D,
        {"filters": 4, "kernel_size": 2, "strides": 2, "groups": 2},
        STEPS,
        variables=2,
    ),
    Case(layers.Conv2D, {"filters": 3, "kernel_size": [3, 2]}, IMAGE, variables=2),
    Case(
        layers.Conv2D,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "valid", "groups": 2},
        IMAGE,
        variables=2,
    ),
    Case(layers.Conv2D, {"filters": 3, "kernel_size": 3, "dilation": 2}, IMAGE, variables=2),
    Case(
        layers.Conv3D,
        {"filters": 4, "kernel_size": [2, 3, 1], "strides": [1, 2, 2], "groups": 2},
        VOLUME,
        variables=2,
    ),
    Case(
        layers.Conv3D,
        {"filters": 3, "kernel_size": 2, "padding": "valid", "dilation": [1, 2, 1]},
        VOLUME,
        variables=2,
    ),
    Case(
        layers.ConvTranspose1D,
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "valid"},
        STEPS,
        variables=2,
    ),
    Case(
        layers.ConvTranspose2D,
        {"filters": 3, "kernel_size": [4, 3], "strides": [2, 3]},
        IMAGE,
        variables=2,
    ),
    Case(
        layers.ConvTranspose2D,
        {"filters": 2, "kernel_size": [1, 3], "strides": 2, "padding": "valid", "use_bias": False},
        IMAGE,
        variables=1,
    ),
    Case(
        layers.DepthwiseConv2D,
        {"kernel_size": [3, 2], "strides": 2, "depth_multiplier": 2},
        IMAGE,
        variables=2,
    ),
    Case(
        layers.DepthwiseConv2D,
        {"kernel_size": 3, "padding": "valid", "dilation": [2, 1]},
        IMAGE,
        variables=2,
    ),
    Case(layers.SeparableConv2D, {"filters": 3, "kernel_size": 3}, IMAGE, variables=3),
]

_KERAS = {
    "ConvTranspose1D": "Conv1DTranspose",
    "ConvTranspose2D": "Conv2DTranspose",
    "dilation": "dilation_rate",
}


def _parity(
    kind: str, inputs: tf.TensorSpec, weights: Sequence[str] = ("w", "b"), **arguments: Any
) -> Parity:
    """The layer of this name with these arguments, and Keras's with the same."""
    given = {"padding": "same", **arguments}
    theirs = {_KERAS.get(key, key): value for key, value in given.items()}
    text = " ".join(f"{key}={value}".replace(" ", "") for key, value in arguments.items())
    return Parity(
        f"{kind} {text}",
        lambda: getattr(layers, kind)(**given),
        lambda: getattr(keras.layers, _KERAS.get(kind, kind))(**theirs),
        inputs,
        weights,
    )


_BOTH = ("depthwise/w", "pointwise/w", "pointwise/b")

PARITY = [
    _parity("Conv1D", STEPS, filters=3, kernel_size=4),
    _parity("Conv1D", STEPS, filters=4, kernel_size=3, strides=2, padding="valid", groups=2),
    _parity("Conv1D", STEPS, filters=3, kernel_size=3, padding="causal", activation="relu"),
    _parity("Conv1D", STEPS, filters=3, kernel_size=2, padding="causal", strides=3),
    _parity("Conv1D", STEPS, filters=4, kernel_size=3, padding="causal", dilation=2, groups=2),
    _parity("Conv2D", IMAGE, filters=3, kernel_size=[3, 2]),
    _parity("Conv2D", IMAGE, filters=3, kernel_size=3, strides=2, padding="valid"),
    _parity("Conv2D", IMAGE, filters=3, kernel_size=4, strides=[1, 2], activation="relu"),
    _parity("Conv2D", IMAGE, ["w"], filters=3, kernel_size=3, dilation=2, use_bias=False),
    _parity("Conv2D", IMAGE, filters=3, kernel_size=2, dilation=[1, 3], padding="valid"),
    _parity("Conv2D", IMAGE, filters=6, kernel_size=3, groups=2),
    _parity("Conv2D", IMAGE, filters=8, kernel_size=2, dilation=2, groups=4),
    _parity("Conv3D", VOLUME, filters=3, kernel_size=[2, 3, 1]),
    _parity("Conv3D", VOLUME, filters=4, kernel_size=2, strides=[1, 2, 1], groups=2),
    _parity("Conv3D", VOLUME, filters=2, kernel_size=3, padding="valid", activation="tanh"),
    _parity("Conv3D", VOLUME, filters=2, kernel_size=2, dilation=[2, 1, 2], groups=2),
    _parity("ConvTranspose1D", STEPS, filters=3, kernel_size=3, strides=2),
    _parity("ConvTranspose1D", STEPS, filters=3, kernel_size=2, strides=3, padding="valid"),
    _parity("ConvTranspose2D", IMAGE, filters=3, kernel_size=3),
    _parity("ConvTranspose2D", IMAGE, filters=3, kernel_size=[2, 5], strides=[3, 2]),
    _parity("ConvTranspose2D", IMAGE, filters=2, kernel_size=[4, 1], strides=2, padding="valid"),
    _parity("DepthwiseConv2D", IMAGE, kernel_size=3, activation="relu"),
    _parity("DepthwiseConv2D", IMAGE, kernel_size=[2, 3], strides=2, depth_multiplier=2),
    _parity("DepthwiseConv2D", IMAGE, kernel_size=2, dilation=[1, 2], depth_multiplier=3),
    _parity("DepthwiseConv2D", IMAGE, kernel_size=3, padding="valid", dilation=2),
    _parity("SeparableConv2D", IMAGE, _BOTH, filters=3, kernel_size=3, strides=2),
    _parity(
        "SeparableConv2D",
        IMAGE,
        _BOTH,
        filters=2,
        kernel_size=2,
        depth_multiplier=3,
        dilation=2,
        padding="valid",
        activation="tanh",
    ),
]

WRONG = [
    Wrong(
        lambda: layers.Conv2D(4, 0), "Conv2D: kernel_size must be a whole number, at least 1; got 0"
    ),
    Wrong(
        lambda: layers.Conv2D(4, [3, 3, 3]),
        "Conv2D: kernel_size must be one number or 2 of them; got [3, 3, 3]",
    ),
    Wrong(
        lambda: layers.Conv1D(4, [3, 3]),
        "Conv1D: kernel_size must be one number or 1 of them; got [3, 3]",
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, padding="smae"),  # type: ignore[arg-type]
        "Conv2D: padding must be 'same' or 'valid'; got 'smae'. Did you mean 'same'?",
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, padding="causal"),  # type: ignore[arg-type]
        "Conv2D: padding must be 'same' or 'valid'; got 'causal'. Valid: same, valid.",
    ),
    Wrong(
        lambda: layers.Conv1D(4, 3, padding="casual"),  # type: ignore[arg-type]
        "Conv1D: padding must be 'same' or 'valid' or 'causal'; got 'casual'. Did you mean "
        "'causal'?",
    ),
    Wrong(
        lambda: layers.ConvTranspose1D(4, 3, padding="causal"),  # type: ignore[arg-type]
        "ConvTranspose1D: padding must be 'same' or 'valid'; got 'causal'. Valid: same, valid.",
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, strides=2, dilation=2),
        "Conv2D: strides [2, 2] and dilation [2, 2] cannot both be larger than 1",
    ),
    Wrong(
        lambda: layers.DepthwiseConv2D(3, strides=2, dilation=[1, 2]),
        "DepthwiseConv2D: strides [2, 2] and dilation [1, 2] cannot both be larger than 1",
    ),
    Wrong(
        lambda: layers.DepthwiseConv2D(3, strides=[2, 1]),
        "DepthwiseConv2D: strides must be the same for both axes; got [2, 1]",
    ),
    Wrong(
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=0),
        "DepthwiseConv2D: depth_multiplier must be a whole number, at least 1; got 0",
    ),
    Wrong(lambda: layers.Conv2D(5, 3, groups=2), "Conv2D: 5 filters cannot be split into 2 groups"),
    Wrong(
        lambda: layers.Conv2D(4, 3),
        "at (Conv2D): expects [batch, height, width, channels] (rank 4), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Conv1D(4, 3),
        "at (Conv1D): expects [batch, time, channels] (rank 3), got [None, 4] float32",
        FOUR,
    ),
    Wrong(
        lambda: layers.Conv3D(4, 3),
        "at (Conv3D): expects [batch, depth, height, width, channels] (rank 5), got "
        "[None, 8, 8, 3] uint8",
        PIXELS,
    ),
    Wrong(
        lambda: layers.ConvTranspose2D(4, 3),
        "at (ConvTranspose2D): expects [batch, height, width, channels] (rank 4), got "
        "[None, 3, 4] float32",
        SERIES,
    ),
    Wrong(
        lambda: layers.SeparableConv2D(4, 3),
        "at/depthwise (DepthwiseConv2D): expects [batch, height, width, channels] (rank 4), got "
        "[None, 3, 4] float32",
        SERIES,
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3, groups=2),
        "at (Conv2D): the channels of [None, 8, 8, 3] uint8 cannot be split into 2 groups",
        PIXELS,
    ),
    Wrong(
        lambda: layers.Conv2D(4, 5, padding="valid", dilation=2),
        "at (Conv2D): a window of [9, 9] does not fit into [None, 8, 8, 3] uint8; use a smaller "
        'window, fewer layers that shrink the image, or padding="same"',
        PIXELS,
    ),
    Wrong(
        lambda: layers.DepthwiseConv2D([3, 9], padding="valid"),
        "at (DepthwiseConv2D): a window of [3, 9] does not fit into [None, 8, 8, 3] uint8; use a "
        'smaller window, fewer layers that shrink the image, or padding="same"',
        PIXELS,
    ),
    Wrong(
        lambda: layers.Conv2D(4, 3),
        "at (Conv2D): needs axis -1 of its input to be known when it is built, got "
        "[None, 8, 8, None] float32",
        tf.TensorSpec([None, 8, 8, None]),
    ),
    Wrong(
        lambda: layers.ConvTranspose1D(4, 3),
        "at (ConvTranspose1D): needs axis -1 of its input to be known when it is built, got "
        "[None, 8, None] float32",
        tf.TensorSpec([None, 8, None]),
    ),
]
