"""Tokens to vectors, and back to tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers import initializers
from layers.core.arguments import layer_in, whole
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.specs import describe


class Embedding(Layer):
    """A row of a table for each token: ``[batch, ...] integers -> [batch, ..., units]``.

    The table's gradient is dense, so that a token that stands several times in a batch counts as
    often, whatever the optimizer does with sparse gradients.

    Args:
        vocabulary: number of rows; tokens are in [0, vocabulary). Beyond it, TensorFlow raises an
            error on the CPU, gives zeros on a GPU and the nearest row in XLA.
        units: size of a row.
    """

    def __init__(
        self,
        vocabulary: int,
        units: int,
        embedding_initializer: str | Callable[..., Any] = "uniform",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.vocabulary = whole(self, "vocabulary", vocabulary)
        self.units = whole(self, "units", units)
        self.embedding_initializer = initializers.get(embedding_initializer)

    def build(self, x: tf.TensorSpec) -> None:
        self.table = self.weight("table", [self.vocabulary, self.units], self.embedding_initializer)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        if not x.dtype.is_integer:
            raise LayerError(f"{self.label}: expects integer tokens, got {describe(x)}")
        tokens = x if x.dtype in (tf.int32, tf.int64) else tf.cast(x, tf.int32)
        # Cast after the look-up: the gradients of repeated tokens are summed in the table's dtype.
        return self.cast(_rows(tf.convert_to_tensor(self.table), tokens))


class Unembedding(Layer):
    """A logit for each token, by the table of an ``Embedding``: ``x @ table^T``.

    ``[batch, ..., units] -> [batch, ..., vocabulary]``. The two share one variable, which counts
    once and learns from both (Press and Wolf 2017).

    Args:
        embedding: the layer itself, which stands earlier in the model. (A config makes a new layer
            for every ``_target_``: tie the two in a layer of your own that holds both.)
    """

    def __init__(self, embedding: Layer, **options: Any) -> None:
        super().__init__(**options)
        self.embedding = layer_in(self, "embedding", embedding)
        if not isinstance(self.embedding, Embedding):
            raise LayerError(
                f"{self.label}: embedding must be an Embedding, got {self.embedding.label}"
            )

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., units]")
        if not self.embedding._built:
            self.embedding._build_for(tf.TensorSpec([None], tf.int32))

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_size(x, self.embedding.units)
        return tf.tensordot(self.cast(x), self.cast(self.embedding.table), [[-1], [1]])


def _rows(table: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    @tf.custom_gradient
    def look_up(table: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            rows = tf.reshape(upstream, [tf.size(tokens), table.shape[1]])
            return tf.math.unsorted_segment_sum(rows, tf.reshape(tokens, [-1]), table.shape[0])

        return tf.gather(table, tokens), gradient

    return look_up(table)
