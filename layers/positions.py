"""Where in a sequence a step stands: learned, sinusoidal and rotary positions.

Attention by itself does not see the order of its sequence. The layers add the order to the
features; ``rotate`` turns queries and keys, inside ``layers.MultiHeadAttention``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from layers import initializers
from layers.core.arguments import whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe


class LearnedPositions(Layer):
    """Adds a trainable row for each position: ``[batch, time, features] -> the same``.

    Args:
        length: number of positions; no sequence may be longer. Where the time is not known when
            traced, TensorFlow raises its own error as a longer one comes.
    """

    def __init__(
        self,
        length: int,
        position_initializer: str | Callable[..., Any] = "normal",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.length = whole(self, "length", length)
        self.position_initializer = initializers.get(position_initializer)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, 3, "[batch, time, features]")
        shape = [self.length, self.require_known(x)]
        self.table = self.weight("table", shape, self.position_initializer)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 3, "[batch, time, features]")
        self.require_size(x, self.table.shape[1])
        if x.shape[1] is not None and x.shape[1] > self.length:
            raise LayerError(
                f"{self.label}: has length={self.length} positions, got {describe(x)}; give it the "
                "length of the longest sequence"
            )
        # tf.slice refuses to go beyond the end, where table[:time] would stop there and broadcast.
        rows = tf.slice(self.cast(self.table), [0, 0], [tf.shape(x)[1], self.table.shape[1]])
        return self.cast(x) + rows


class SinusoidalPositions(Layer):
    """Adds sines and cosines of the position (Vaswani et al. 2017); any length, no variables.

    ``[batch, time, features] -> the same``. Feature ``2i`` gets ``sin(t / 10000^(2i / features))``
    and feature ``2i + 1`` the cosine of the same angle; t counts from 0. An odd number of features
    ends with a sine. The values reach 1: give the layer features of that size (the paper
    multiplies embeddings by ``sqrt(features)``).
    """

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, 3, "[batch, time, features]")
        self.require_known(x)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 3, "[batch, time, features]")
        features, dtype = self.require_known(x), self.statistics_dtype
        numbers = [i // 2 * 2 for i in range(features)]
        angles = _angles(tf.range(tf.shape(x)[1]), numbers, features, 10000.0, dtype)
        waves = tf.where(tf.range(features) % 2 == 0, tf.sin(angles), tf.cos(angles))
        return self.cast(x) + self.cast(waves)


def rotate(x: tf.Tensor, positions: tf.Tensor, base: float = 10000.0) -> tf.Tensor:
    """Turn queries or keys ``[batch, time, ..., size]`` by their positions ``[time]``.

    Rotary positions (Su et al. 2021): feature i and feature ``i + size / 2`` are a pair, which is
    turned by the angle ``position / base^(2i / size)``. (These are the halves of GPT-NeoX and
    Llama; the paper pairs neighbours, which differs by the order of the features.) The product of
    a query and a key then depends on their positions' difference alone; no norm changes.

    ``size`` is known and even. Angles are taken in float32 at least; the result has the dtype of
    ``x``.
    """
    size, between = x.shape[-1], x.shape.rank - 3
    dtype = tf.float64 if x.dtype == tf.float64 else tf.float32
    angles = _angles(positions, range(0, size, 2), size, base, dtype)
    angles = tf.reshape(angles, [-1, *[1] * between, size // 2])
    sine, cosine = tf.sin(angles), tf.cos(angles)
    first, second = tf.split(tf.cast(x, dtype), 2, -1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return tf.cast(tf.concat(turned, -1), x.dtype)


def _angles(
    positions: tf.Tensor, numbers: Iterable[int], size: int, base: float, dtype: Any
) -> tf.Tensor:
    """``position / base^(number / size)``: ``[time, numbers]``."""
    # Frequencies by Python, in double precision: an error in one grows with the position.
    frequencies = tf.constant([base ** (-number / size) for number in numbers], dtype)
    return tf.cast(positions, dtype)[:, None] * frequencies
