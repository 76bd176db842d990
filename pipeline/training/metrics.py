"""What is measured, as sums over examples: they merge over batches, microbatches and replicas.

A task gives each example a value, or a row of ``width`` values, for each of its metrics; whoever
runs it sums them, each times the weight of its example, and the metric makes one number of the
sums. However the examples are cut into batches and shards, uneven and empty ones among them, the
sums are the same. Tables of the whole test split (confusion, scores by class) are made from its
predictions instead, by ``pipeline.analysis``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import tensorflow as tf

NAN = float("nan")


class Metric(ABC):
    """One number out of sums over examples.

    Attributes:
        width: values an example.
        in_training: measured in each training step too, of its batch; False: in evaluation alone,
            because it is wide, or says nothing of one batch.
    """

    width: int = 1
    in_training: bool = True

    def sums(self, values: tf.Tensor, weights: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor:
        """``[batch] or [batch, width] -> [width]``: the sum over examples, each times its weight.

        Args:
            weights: ``[batch]``; None: each example counts once.
            dtype: float64 in evaluation, where a float32 sum over many examples would round.
        """
        values = tf.reshape(tf.cast(values, dtype), [-1, self.width])
        if weights is not None:
            values *= tf.cast(weights, dtype)[:, tf.newaxis]
        return tf.reduce_sum(values, 0)

    @abstractmethod
    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        """The number, NaN where there is nothing to make it of, unless the class says otherwise.

        Args:
            sums: ``[width]`` float64.
            count: the sum of the examples' weights, float64.
            xp: the module whose functions take them, ``numpy`` or ``tf.experimental.numpy``.
        """


class OfRows(Metric):
    """One for which a task gives more of each example than a number: ``rows`` makes it."""

    @abstractmethod
    def rows(self, truth: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        """``[batch, ...]`` twice -> ``[batch, width]``, or what ``sums`` takes."""


class Mean(Metric):
    """The weighted mean over examples: accuracy, top-k accuracy, mean absolute error, a loss."""

    def __init__(self, in_training: bool = True) -> None:
        self.in_training = in_training

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        return _ratio(xp, sums[0], count)


class Root(Metric):
    """The square root of a mean, of each of ``width`` targets, averaged over them: RMSE of squared
    errors, as scikit-learn's ``root_mean_squared_error`` defines it for several targets."""

    def __init__(self, width: int = 1) -> None:
        self.width = width

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        return xp.mean(xp.sqrt(_ratio(xp, sums, count)))


class Ratio(Metric):
    """One sum by another, the examples' own: a mean over tokens is (sum over tokens, tokens)."""

    width = 2

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        return _ratio(xp, sums[0], sums[1])


class Perplexity(Ratio):
    """``exp`` of the mean negative log-likelihood of a token: (nats, tokens).

    Finite: what would be too large for a float64 is e^700.
    """

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        return xp.exp(xp.minimum(super().value(sums, count, xp), 700.0))


class BitsPerByte(Ratio):
    """The negative log-likelihood of a text by its bytes, in bits: (nats, bytes). Unlike perplexity
    it compares models of different vocabularies."""

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        return super().value(sums, count, xp) / math.log(2.0)


class R2(OfRows):
    """The coefficient of determination of each target, averaged over them, as scikit-learn's
    ``r2_score``: ``1 - (sum of squared errors) / (sum of squared deviations from the mean)``.

    A target that never varies scores 1 where it is predicted exactly, and else 0. "Never" means
    that its deviation is below 3e-7 of its size, which float32 targets cannot tell from rounding.

    Args:
        targets: how many there are.
    """

    in_training = False

    def __init__(self, targets: int = 1) -> None:
        self.targets = targets
        self.width = 3 * targets

    def rows(self, truth: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        """``[batch, ..., targets]`` twice -> ``[batch, width]``, float64; the axes between are
        averaged, being as many observations of the same targets."""
        truth, predicted = (
            tf.reshape(tf.cast(x, tf.float64), [tf.shape(x)[0], -1, self.targets])
            for x in (truth, predicted)
        )
        parts = [tf.math.squared_difference(truth, predicted), truth, tf.square(truth)]
        return tf.concat([tf.reduce_mean(part, 1) for part in parts], -1)

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        errors, total, squares = _parts(xp.reshape(sums, [3, self.targets]))
        deviations = squares - _ratio(xp, total * total, count)
        varies = deviations > 1e-13 * squares
        share = errors / xp.where(varies, deviations, 1.0)
        # Exactly predicted, but for the rounding of sums of this size.
        constant = xp.where(errors > 1e-13 * squares, 1.0, 0.0)
        scores = 1.0 - xp.where(varies, share, constant)
        return xp.where(count > 0, xp.mean(scores), NAN)


class F1(OfRows):
    """``2 TP / (2 TP + FP + FN)`` of classes; a class without any of the three scores 0.

    Args:
        classes: how many.
        average: ``macro``: the mean of the scores of all classes. ``micro``: of their counts
            together. ``binary``: the score of class 1.
    """

    in_training = False

    def __init__(
        self, classes: int, average: Literal["macro", "micro", "binary"] = "macro"
    ) -> None:
        self.classes = classes
        self.average = average
        self.width = 3 * classes

    def rows(self, truth: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        """``[batch, classes]`` twice, 1 for the classes that an example has -> ``[batch, width]``:
        true positives, false positives, false negatives."""
        truth, predicted = tf.cast(truth, tf.float32), tf.cast(predicted, tf.float32)
        both = truth * predicted
        return tf.concat([both, predicted - both, truth - both], -1)

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        hits, extra, missed = _parts(xp.reshape(sums, [3, self.classes]))
        if self.average == "micro":
            hits, extra, missed = xp.sum(hits), xp.sum(extra), xp.sum(missed)
        scores = _ratio(xp, 2.0 * hits, 2.0 * hits + extra + missed, 0.0)
        return scores[1] if self.average == "binary" else xp.mean(scores)


class AUC(OfRows):
    """The area under the ROC curve: how often a positive example scores above a negative one, ties
    counting half. Of several classes, the mean over those that have both kinds; NaN if none has.

    Scores are counted in ``bins``, so that memory is bounded and sums merge. It is the exact area
    for scores rounded to these bins; the area of the scores themselves is at most ``bound`` away,
    which is half the share of pairs of a positive and a negative that fall into one bin: about 1e-4
    where logits spread over some units, of which most cancels. A bin is ``(1 + |logit|) * 11 /
    bins`` wide, so that there is one for every size; those beyond 256 share the last.

    Args:
        classes: how many, each against the rest; 1: of two classes the second.
        bins: of each class; None: 65,536, fewer where there are more than 4 classes (4 MB in all)
            and at least 1,024.
    """

    in_training = False

    def __init__(self, classes: int = 1, bins: int | None = None) -> None:
        self.classes = classes
        self.bins = bins or min(65536, max(1024, 2**18 // classes))
        self.width = 2 * classes * self.bins

    def rows(self, truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """``[batch, classes]`` twice, 1 for the classes that an example has, and the log-odds given
        to each -> ``[batch, 2 classes]``, which ``sums`` counts into ``width`` bins."""
        return tf.concat([tf.cast(truth, tf.float32), tf.cast(logits, tf.float32)], -1)

    def sums(self, values: tf.Tensor, weights: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor:
        truth, logits = tf.split(values, 2, -1)
        size = tf.math.log1p(tf.abs(logits)) / math.log1p(256.0)
        place = 0.5 * (1.0 + tf.sign(logits) * size) * self.bins
        place = tf.where(tf.math.is_nan(place), 0.0, place)  # the loss says it
        place = tf.cast(tf.clip_by_value(place, 0.0, self.bins - 1.0), tf.int32)
        row = tf.cast(truth > 0.5, tf.int32) * self.classes + tf.range(self.classes)
        each = tf.ones(tf.shape(place), dtype)
        if weights is not None:
            each *= tf.cast(weights, dtype)[:, tf.newaxis]
        return tf.math.unsorted_segment_sum(
            tf.reshape(each, [-1]), tf.reshape(row * self.bins + place, [-1]), self.width
        )

    def value(self, sums: Any, count: Any, xp: Any) -> Any:
        negative, positive = _parts(xp.reshape(sums, [2, self.classes, self.bins]))
        below = xp.cumsum(negative, -1) - 0.5 * negative
        return self._mean(xp.sum(positive * below, -1), negative, positive, xp)

    def bound(self, sums: Any, xp: Any) -> Any:
        """How far ``value`` is from the area for unrounded scores, at most."""
        negative, positive = _parts(xp.reshape(sums, [2, self.classes, self.bins]))
        return self._mean(0.5 * xp.sum(positive * negative, -1), negative, positive, xp)

    @staticmethod
    def _mean(area: Any, negative: Any, positive: Any, xp: Any) -> Any:
        pairs = xp.sum(negative, -1) * xp.sum(positive, -1)
        known = xp.sum(xp.where(pairs > 0, 1.0, 0.0))
        return _ratio(xp, xp.sum(_ratio(xp, area, pairs, 0.0)), known)


def width_of(metrics: Mapping[str, Metric]) -> int:
    """How many sums the metrics are made of."""
    return sum(metric.width for metric in metrics.values())


def sums_of(
    metrics: Mapping[str, Metric],
    measured: Mapping[str, tf.Tensor],
    weights: tf.Tensor | None,
    dtype: tf.DType,
) -> tf.Tensor:
    """The sums over a batch, ``[width_of(metrics)]``; see ``Metric.sums``.

    Args:
        measured: of each metric, ``[batch]`` or ``[batch, width]``.
    """
    found = [metric.sums(measured[name], weights, dtype) for name, metric in metrics.items()]
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


def rows_of(metric: Metric, truth: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """What a task gives for a metric that is made of rows."""
    assert isinstance(metric, OfRows)
    return metric.rows(truth, predicted)


def _ratio(xp: Any, part: Any, whole: Any, otherwise: float = NAN) -> Any:
    """``part / whole``, and ``otherwise`` where there is no whole."""
    there = whole > 0
    return xp.where(there, part / xp.where(there, whole, 1.0), otherwise)


def _parts(rows: Any) -> list[Any]:
    """A tensor's rows; in a graph it cannot be iterated over."""
    return [rows[i] for i in range(rows.shape[0])]
