"""Attention: each step of a sequence takes what it needs from all steps of another, or its own."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import tensorflow as tf

from layers import initializers
from layers.core.arguments import number, whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe
from layers.dense import Dense
from layers.noise import Dropout
from layers.positions import rotate


class MultiHeadAttention(Layer):
    """Scaled dot-product attention with several heads (Vaswani et al. 2017).

    Self attention: ``layer(x)``, ``[batch, time, features] -> the same``. Cross attention:
    ``layer(x, context)``, queries from ``x``, keys and values from ``context [batch, time of
    context, its features]``. A mask ``[batch, time of context]``, ``layer(x, mask=…)``, is true at
    the steps that may be looked at. A query that may look at none takes zeros, so that its output
    is the bias of ``out``.

    ``query``, ``key``, ``value`` and ``out`` are Dense layers; the heads stand side by side in
    their units, and consecutive heads share a key. The key has a bias only where there are rotary
    positions: elsewhere it would add the same to all scores of a query, and the softmax, which is
    taken in float32 at least, would take it out again.

    Args:
        heads: number of queries that a step makes.
        head_units: size of a head's queries, keys and values; ``None``: features / heads.
        key_value_heads: number of keys and values, each shared by heads / key_value_heads queries
            (Ainslie et al. 2023); ``None``: as many as heads, 1: multi-query attention.
        causal: step t looks at steps 0 to t only.
        rotary: turn queries and keys by their positions: see ``layers.positions.rotate``.
        dropout: in training the share of attention weights that become zero.
    """

    def __init__(
        self,
        heads: int,
        head_units: int | None = None,
        key_value_heads: int | None = None,
        causal: bool = False,
        rotary: bool = False,
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "glorot_uniform",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.heads = whole(self, "heads", heads)
        self.head_units = None if head_units is None else whole(self, "head_units", head_units)
        self.key_value_heads = whole(
            self, "key_value_heads", heads if key_value_heads is None else key_value_heads
        )
        if self.heads % self.key_value_heads:
            raise LayerError(
                f"{self.label}: heads must be a multiple of key_value_heads; got heads={heads}, "
                f"key_value_heads={key_value_heads}"
            )
        self.causal = causal
        self.rotary = rotary
        rate = number(self, "dropout", dropout, least=0.0, below=1.0)
        self.dropout = Dropout(rate) if rate else None
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, 3, "[batch, time, features]")
        features = self.require_known(x)
        size = self._head_size(features)
        # Each is built by its first call: a context may have other features than x.
        self.query = self._dense(self.heads * size, self.use_bias)
        self.key = self._dense(self.key_value_heads * size, self.use_bias and self.rotary)
        self.value = self._dense(self.key_value_heads * size, self.use_bias)
        self.out = self._dense(features, self.use_bias)

    def _dense(self, units: int, use_bias: bool) -> Dense:
        return Dense(units, use_bias=use_bias, kernel_initializer=self.kernel_initializer)

    def _head_size(self, features: int) -> int:
        if self.head_units is None and features % self.heads:
            raise LayerError(
                f"{self.label}: {features} features cannot be divided among {self.heads} heads; "
                "give another number of heads, or head_units"
            )
        size = self.head_units or features // self.heads
        if self.rotary and size % 2:
            raise LayerError(
                f"{self.label}: rotary positions turn pairs of features, and a head has {size}; "
                "give an even number of head_units"
            )
        return size

    def call(  # type: ignore[override]
        self,
        x: tf.Tensor,
        context: tf.Tensor | None = None,
        *,
        training: bool,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        self.require_rank(x, 3, "[batch, time, features]")
        context = x if context is None else context
        self.require_rank(context, 3, "a context [batch, time, features]")
        groups, shared = self.key_value_heads, self.heads // self.key_value_heads
        queries = _heads(self.query(x, training=training), groups, shared)
        keys = _heads(self.key(context, training=training), groups)
        values = _heads(self.value(context, training=training), groups)
        if self.rotary:
            queries, keys = (rotate(part, tf.range(_time(part))) for part in (queries, keys))
        # b batch; q, k: times of the queries and keys; g groups; s: queries that share one; u units
        scores = tf.einsum("bqgsu,bkgu->bgsqk", queries / sqrt(keys.shape[-1]), keys)
        weights = self.cast(self._softmax(scores, self._visible(x, context, mask)))
        if self.dropout is not None:
            weights = self.dropout(weights, training=training)
        y = tf.einsum("bgsqk,bkgu->bqgsu", weights, values)
        y = tf.reshape(y, [tf.shape(x)[0], _time(x), self.query.units])
        return self.out(y, training=training)

    def _visible(self, x: tf.Tensor, context: tf.Tensor, mask: Any) -> tf.Tensor | None:
        """Which keys a query may look at, for scores ``[b, g, s, q, k]``; ``None``: all."""
        visible = None
        if self.causal:
            visible = tf.range(_time(x))[:, None] >= tf.range(_time(context))
        if mask is None:
            return visible
        if mask.shape.rank != 2 or not mask.shape[1:].is_compatible_with(context.shape[1:2]):
            raise LayerError(
                f"{self.label}: expects a mask [batch, time] of the keys, got {describe(mask)} for "
                f"{describe(context)}"
            )
        mask = tf.cast(mask, tf.bool)[:, None, None, None, :]
        return mask if visible is None else mask & visible

    def _softmax(self, scores: tf.Tensor, visible: tf.Tensor | None) -> tf.Tensor:
        """Weights over the last axis; all 0 where nothing is visible."""
        scores = tf.cast(scores, self.statistics_dtype)
        if visible is None:
            return tf.nn.softmax(scores)
        # Not -inf, of which softmax makes NaN where a whole row has it.
        weights = tf.nn.softmax(tf.where(visible, scores, scores.dtype.min))
        return tf.where(visible, weights, tf.zeros_like(weights))


def _time(x: tf.Tensor) -> Any:
    """The number of steps, as an int where it is known."""
    return tf.shape(x)[1] if x.shape[1] is None else x.shape[1]


def _heads(x: tf.Tensor, *sizes: int) -> tf.Tensor:
    """``[batch, time, units]`` with the units divided: ``[batch, time, *sizes, rest]``."""
    return tf.reshape(x, [tf.shape(x)[0], _time(x), *sizes, x.shape[-1] // prod(sizes)])
