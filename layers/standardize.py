"""Inputs brought to mean 0 and variance 1 by statistics that are taken before training.

``adapt`` goes over the training data once for each such layer of a model; from then on what the
layer does is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from layers.core.arguments import number
from layers.core.axes import axes_of, axes_tuple, beside
from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.model import layers_of


class Standardize(Layer):
    """``(x - mean) / sqrt(variance + epsilon)`` by feature, with statistics of the training data.

    ``[batch, ...] -> the same``.

    ``adapt`` finds the statistics; before that they are 0 and 1, and the layer is the identity.
    The variance is the biased one. A feature that had one value throughout gives 0, whatever comes
    later: nothing can have been learnt about it.

    Args:
        axis: the axis or axes whose every index has a mean and a variance of its own, not the
            batch's; ``-1``: each feature; ``[1, 2, 3]``: each value of an image; ``None``: one of
            each for all values together.
        epsilon: keeps the division away from zero. It is small, so that features in small units
            are brought to variance 1 as well.
    """

    def __init__(
        self, axis: int | Sequence[int] | None = -1, epsilon: float = 1e-12, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axis = axes_tuple(() if axis is None else axis)
        self.epsilon = number(self, "epsilon", epsilon, least=0.0)
        self._seen: _Statistics | None = None  # while the layer is being adapted

    def build(self, x: tf.TensorSpec) -> None:
        sizes = [self.require_known(x, axis) for axis in axes_of(self, self.axis, x)]
        self.mean = self.state("mean", sizes, "zeros", "replicated", self.statistics_dtype)
        self.variance = self.state("variance", sizes, "ones", "replicated", self.statistics_dtype)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        axes = axes_of(self, self.axis, x)
        if self._seen is not None:
            self._seen.add(x.numpy(), axes)
        x = tf.cast(x, self.mean.dtype)
        varies = tf.where(self.variance > 0.0, tf.math.rsqrt(self.variance + self.epsilon), 0.0)
        return self.cast((x - beside(self, self.mean, x, axes)) * beside(self, varies, x, axes))


class _Statistics:
    """Count, mean (less ``origin``) and sum of squared deviations of arrays that come in turn.

    Merged as Chan et al. 1983 do, in float64, so that it does not matter how the data is cut.
    """

    def __init__(self) -> None:
        self.count = 0
        self.origin: Any = 0.0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, x: np.ndarray, kept: Sequence[int]) -> None:
        if x.size == 0:
            return
        axes = tuple(axis for axis in range(x.ndim) if axis not in kept)
        values = x.astype(np.float64)
        if self.count == 0:
            first = tuple(0 if axis in axes else slice(None) for axis in range(x.ndim))
            self.origin = values[first]
        # From a value that occurs: where a feature has no other, deviations are 0 exactly. In a
        # new array, because the origin is a part of the old one.
        values = values - np.expand_dims(self.origin, axes)
        count = values.size // self.origin.size
        mean = values.mean(axes)
        with np.errstate(invalid="ignore"):  # infinities: ``adapt`` says it
            squares = np.square(values - np.expand_dims(mean, axes)).sum(axes)
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + squares + apart**2 * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total


def adapting(model: Layer) -> list[Layer]:
    """The layers of ``model`` that ``adapt`` gives their statistics, in its order.

    Left out are those whose statistics are frozen.
    """
    return [
        layer
        for layer in layers_of(model)
        if isinstance(layer, Standardize) and not layer.frozen("mean")
    ]


def adapt(model: Layer, batches: Callable[[], Iterable[Any]]) -> None:
    """Give every ``Standardize`` of ``model`` the statistics of its own input over all batches.

    Call it outside of replicas (inside ``strategy.scope()`` is right) before anything is trained.
    The model is run eagerly, in evaluation, over all data once for each such layer: what the second
    one sees is what the first has standardised. Where data is cut into batches makes no difference.

    Args:
        batches: called for each pass; gives the inputs of the model, ``[batch, ...]`` each.

    Raises:
        LayerError: there was no example, or a mean or variance is not finite.
    """
    for layer in adapting(model):
        assert isinstance(layer, Standardize)
        layer._seen = seen = _Statistics()
        try:
            for batch in batches():
                model(tf.nest.map_structure(tf.convert_to_tensor, batch), training=False)
        finally:
            layer._seen = None
        if seen.count == 0:
            raise LayerError(f"{layer.label}: was given no example to take its statistics from")
        mean, variance = seen.origin + seen.mean, seen.squares / seen.count
        if not np.isfinite(mean + variance).all():
            bad = np.flatnonzero(~np.isfinite(np.ravel(mean + variance))).tolist()
            raise LayerError(
                f"{layer.label}: its input has values that are not finite, in the features "
                f"{', '.join(map(str, bad[:8]))}{', …' if len(bad) > 8 else ''}"
            )
        layer.mean.assign(mean.astype(layer.mean.dtype.as_numpy_dtype))
        layer.variance.assign(variance.astype(layer.variance.dtype.as_numpy_dtype))
