"""Activations by name. Each is a pure function of one tensor."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from layers.core.errors import LayerError, did_you_mean


def linear(x: tf.Tensor) -> tf.Tensor:
    """``x`` itself."""
    return x


def mish(x: tf.Tensor) -> tf.Tensor:
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    return x * tf.tanh(tf.nn.softplus(x))


NAMED: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "linear": linear,
    "relu": tf.nn.relu,
    "gelu": tf.nn.gelu,
    "silu": tf.nn.silu,
    "elu": tf.nn.elu,
    "leaky_relu": tf.nn.leaky_relu,
    "softmax": tf.nn.softmax,
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "mish": mish,
}


def get(activation: str | Callable[..., tf.Tensor] | None) -> Callable[..., tf.Tensor]:
    """An activation by name, the function itself, or ``linear`` for ``None``."""
    if activation is None:
        return linear
    if callable(activation):
        return activation
    if activation not in NAMED:
        raise LayerError(f"unknown activation {activation!r}. {did_you_mean(activation, NAMED)}")
    return NAMED[activation]
