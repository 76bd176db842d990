"""Losses of layers that train themselves, by name: ``f(logits, labels) -> [batch]``, float32."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from layers.core.errors import LayerError, did_you_mean

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def softmax_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Of logits ``[batch, classes]`` and integer labels ``[batch]``."""
    logits = tf.cast(logits, tf.float32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def mean_squared_error(predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The mean over all but the batch; both have one shape."""
    targets = tf.cast(targets, tf.float32)
    targets = tf.ensure_shape(targets, predictions.shape)  # subtracting would broadcast
    squares = tf.math.squared_difference(tf.cast(predictions, tf.float32), targets)
    return tf.reduce_mean(squares, list(range(1, squares.shape.rank)))


NAMED: dict[str, Loss] = {
    "softmax cross-entropy": softmax_cross_entropy,
    "mean squared error": mean_squared_error,
}


def get(loss: str | Loss) -> Loss:
    """A loss by name, or the function itself."""
    if callable(loss):
        return loss
    if loss not in NAMED:
        raise LayerError(f"unknown loss {loss!r}. {did_you_mean(loss, NAMED)}")
    return NAMED[loss]
