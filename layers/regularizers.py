"""What a weight may add to the training loss: ``f(weight) -> scalar``.

They are given to a layer, or to a whole model, by patterns of paths::

    Stack({…}, regularizers={"*/w": regularizers.L2(1e-4)})

A trainer adds each once to the loss of a step, however many replicas and microbatches it has;
weights that are frozen add nothing, and those of a layer that trains itself add to its own loss.
"""

from __future__ import annotations

import math
import numbers

import tensorflow as tf

from layers.core.errors import LayerError


class _Regularizer:
    def __init__(self, strength: float) -> None:
        right = isinstance(strength, numbers.Real) and not isinstance(strength, bool)
        if not (right and 0 <= strength < math.inf):
            raise LayerError(
                f"{type(self).__name__}: strength must be a number in [0, inf); got {strength!r}"
            )
        self.strength = float(strength)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.strength:g})"

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        raise TypeError(f"{type(self).__name__} must define __call__(self, w)")


class L1(_Regularizer):
    """``strength * sum(|w|)``, which drives weights to zero (Tibshirani 1996).

    Args:
        strength: how much it counts beside the mean loss of an example.
    """

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return self.strength * tf.reduce_sum(tf.abs(w))


class L2(_Regularizer):
    """``strength * sum(w^2)``, as in Keras: its gradient is ``2 * strength * w``.

    With Adam it is not what weight decay is (Loshchilov and Hutter 2019): ``optimizer=adamw``.

    Args:
        strength: how much it counts beside the mean loss of an example.
    """

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return self.strength * tf.reduce_sum(tf.square(w))


class Orthogonal(_Regularizer):
    """``strength * |m' m - I|^2`` of a kernel as a matrix m ``[all but the last, last]``.

    It keeps columns, or rows where they are fewer, near to orthonormal (soft orthogonality, Bansal
    et al. 2018). Vectors, such as biases, have no angle between them and are refused.

    Args:
        strength: how much it counts beside the mean loss of an example.
    """

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        if w.shape.rank is None or w.shape.rank < 2:
            raise LayerError(f"{self!r}: needs a matrix or a kernel, got a weight {w.shape}")
        m = tf.reshape(w, [-1, w.shape[-1]])
        gram = tf.matmul(m, m, transpose_a=True)
        if m.shape[0] < m.shape[1]:
            gram = tf.matmul(m, m, transpose_b=True)
        return self.strength * tf.reduce_sum(tf.square(gram - tf.eye(gram.shape[0], dtype=w.dtype)))
