"""Initial values: pure functions of shape, dtype and a seed.

An initializer is ``f(shape, dtype, seed) -> tf.Tensor`` with ``seed`` an int64 tensor [2]. The
fan-in of a kernel ``[..., inputs, outputs]`` is the product of all its sizes but the last. All draw
from Philox, which gives the same numbers on every device and in XLA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from layers.core.errors import LayerError, did_you_mean

Initializer = Callable[[Sequence[int], str, tf.Tensor], tf.Tensor]


def zeros(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
    """All zero."""
    return tf.zeros(shape, dtype)


def ones(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
    """All one."""
    return tf.ones(shape, dtype)


def fans(shape: Sequence[int]) -> tuple[float, float]:
    """Fan-in and fan-out of a kernel ``[*window, inputs, outputs]``."""
    if len(shape) < 2:
        size = float(math.prod(shape))
        return size, size
    window = math.prod(shape[:-2])
    return float(window * shape[-2]), float(window * shape[-1])


def _variance_scaling(scale: float, mode: str, distribution: str) -> Initializer:
    def initializer(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
        fan_in, fan_out = fans(shape)
        fan = fan_in if mode == "fan_in" else (fan_in + fan_out) / 2
        variance = scale / max(1.0, fan)
        if distribution == "uniform":
            limit = math.sqrt(3 * variance)
            value = tf.random.stateless_uniform(shape, seed, -limit, limit, alg="philox")
        else:
            # A normal cut at two deviations has 0.8796 of its deviation left.
            deviation = math.sqrt(variance) / 0.87962566103423978
            value = tf.random.stateless_truncated_normal(shape, seed, 0.0, deviation, alg="philox")
        return tf.cast(value, dtype)

    return initializer


def constant(value: float) -> Initializer:
    """Every element is ``value``."""
    return lambda shape, dtype, seed: tf.fill(tuple(shape), tf.cast(value, dtype))


def normal(deviation: float = 0.05) -> Initializer:
    """Normal with mean 0."""
    return lambda shape, dtype, seed: tf.cast(
        tf.random.stateless_normal(shape, seed, 0.0, deviation, alg="philox"), dtype
    )


def truncated_normal(deviation: float = 0.05) -> Initializer:
    """Normal with mean 0, drawn again beyond two deviations.

    ``deviation`` is that before the cut, as in Keras; what is drawn has 0.88 of it.
    """
    return lambda shape, dtype, seed: tf.cast(
        tf.random.stateless_truncated_normal(shape, seed, 0.0, deviation, alg="philox"), dtype
    )


def uniform(limit: float = 0.05) -> Initializer:
    """Uniform in [-limit, limit)."""
    return lambda shape, dtype, seed: tf.cast(
        tf.random.stateless_uniform(shape, seed, -limit, limit, alg="philox"), dtype
    )


def orthogonal(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
    """Orthonormal rows or columns, whichever are fewer, of ``[all but the last, last]``.

    Uniform over such matrices (Saxe et al. 2014; Mezzadri 2007).
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    tall = (max(rows, columns), min(rows, columns))
    q, r = tf.linalg.qr(tf.random.stateless_normal(tall, seed, alg="philox"))
    q *= tf.sign(tf.linalg.diag_part(r))  # else QR's own choice of signs would show
    return tf.cast(tf.reshape(q if rows >= columns else tf.transpose(q), shape), dtype)


def identity(gain: float = 1.0) -> Initializer:
    """``gain`` on the diagonal of a matrix, zero elsewhere.

    A layer begins as the identity, or in a recurrent kernel keeps its state (Le et al. 2015).
    """

    def initializer(shape: Sequence[int], dtype: str, seed: tf.Tensor) -> tf.Tensor:
        if len(shape) != 2:
            raise LayerError(f"initializer identity: makes matrices, not the shape {list(shape)}")
        return tf.cast(gain, dtype) * tf.eye(shape[0], shape[1], dtype=dtype)

    return initializer


NAMED: dict[str, Initializer] = {
    "zeros": zeros,
    "ones": ones,
    "normal": normal(),
    "truncated_normal": truncated_normal(),
    "uniform": uniform(),
    "identity": identity(),
    "orthogonal": orthogonal,
    # Glorot and Bengio 2010; He et al. 2015; LeCun et al. 1998.
    "glorot_uniform": _variance_scaling(1.0, "fan_avg", "uniform"),
    "glorot_normal": _variance_scaling(1.0, "fan_avg", "normal"),
    "he_uniform": _variance_scaling(2.0, "fan_in", "uniform"),
    "he_normal": _variance_scaling(2.0, "fan_in", "normal"),
    "lecun_uniform": _variance_scaling(1.0, "fan_in", "uniform"),
    "lecun_normal": _variance_scaling(1.0, "fan_in", "normal"),
}


def get(initializer: str | Initializer) -> Initializer:
    """An initializer by name, or the callable itself."""
    if callable(initializer):
        return initializer
    if initializer not in NAMED:
        raise LayerError(f"unknown initializer {initializer!r}. {did_you_mean(initializer, NAMED)}")
    return NAMED[initializer]
