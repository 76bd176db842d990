"""Metrics as sums over examples: what merges exactly over batches, microbatches and replicas.

A task gives some numbers for each example, which are added up, each times the example's weight; a
metric makes one number of the sums. The same formula serves the graph and the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import tensorflow as tf


class Metric(Protocol):
    """One number out of sums.

    Attributes:
        width: numbers that an example has for it.
        in_training: whether it is reported of the training batches too, not only in evaluation.
    """

    width: int
    in_training: bool

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        """The metric.

        Args:
            sums: ``[width]``, over all examples, each times its weight.
            count: the sum of the weights; without weights: of examples.
            xp: ``numpy``, or ``tensorflow.experimental.numpy`` for what is a tensor.
        """


@dataclass(frozen=True)
class Mean:
    """The mean over the examples."""

    in_training: bool = True
    width: ClassVar[int] = 1

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        """``sums[0] / count``."""
        return sums[0] / count


def width_of(metrics: Mapping[str, Metric]) -> int:
    """How many sums the metrics are made of."""
    return sum(metric.width for metric in metrics.values())


def sums_of(
    metrics: Mapping[str, Metric],
    measured: Mapping[str, tf.Tensor],
    weights: tf.Tensor | None,
    dtype: tf.DType,
) -> tf.Tensor:
    """The sums over a batch, ``[width_of(metrics)]``.

    Args:
        measured: of each metric, ``[batch]`` or ``[batch, width]``.
        weights: ``[batch]``; None: each example counts once.
    """
    found = []
    for name, metric in metrics.items():
        values = tf.cast(measured[name], dtype)
        if metric.width == 1:
            values = values * tf.cast(weights, dtype) if weights is not None else values
            found.append(tf.reduce_sum(values)[None])
            continue
        if weights is not None:
            values = values * tf.cast(weights, dtype)[:, None]
        found.append(tf.reduce_sum(values, 0))
    return tf.concat(found, 0)


def values_of(metrics: Mapping[str, Metric], sums: Any, count: Any, xp: Any) -> list[Any]:
    """The metrics, in their order, out of their sums one after the other."""
    found, at = [], 0
    for metric in metrics.values():
        found.append(metric.value(sums[at : at + metric.width], count, xp))
        at += metric.width
    return found


def columns_of(metrics: Mapping[str, Metric]) -> Sequence[str]:
    """A name for each of the sums."""
    return [
        name if metric.width == 1 else f"{name}[{i}]"
        for name, metric in metrics.items()
        for i in range(metric.width)
    ]
