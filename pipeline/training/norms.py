"""The global norm of gradients, as each compiler computes it fast."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

LANES = 64  # partial sums that are left to be added one by one
SHORT = 256  # an array that is as quickly added up as it is


def global_norm(gradients: Sequence[tf.Tensor], in_xla: bool) -> tf.Tensor:
    """The root of the sum of all squares, float32; 0 where there are no gradients."""
    if not gradients:
        return tf.zeros([])
    if not in_xla:
        return tf.linalg.global_norm(gradients)
    return tf.sqrt(tf.reduce_sum(tf.concat([_folded_squares(g) for g in gradients], 0)))


def _folded_squares(gradient: tf.Tensor) -> tf.Tensor:
    """A few partial sums of the squares.

    On CPU, XLA adds up an array one number after the other, which took longer than Adam. Halves
    that are added to each other are elementwise additions, many in one instruction.
    """
    squares = tf.square(tf.reshape(tf.cast(gradient, tf.float32), [-1]))
    size = squares.shape[0]
    if size <= SHORT:
        return squares
    while size % 2 == 0 and size > LANES:
        size //= 2
        squares = squares[:size] + squares[size:]
    return squares
