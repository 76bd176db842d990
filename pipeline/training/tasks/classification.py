"""One class an example."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from layers import Layer
from pipeline.errors import ConfigError, did_you_mean
from pipeline.training.metrics import AUC, F1, Mean, Metric, rows_of
from pipeline.training.tasks.base import DataSpec, Task, chosen, refuse_output


class Classification(Task):
    """One class an example: softmax cross-entropy and accuracy.

    Logits ``[batch, classes]`` and whole-numbered labels ``[batch]``; answers probabilities.

    Args:
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).
            The loss that is reported in evaluation is smoothed too.
        class_weights: what the loss of an example of each class is multiplied with: a list, one
            number a class; a mapping of some classes' names, 1 for the others; or ``balanced``:
            examples / (classes * examples of the class), counted in the training split, so that
            the weights' mean over its examples is 1. The loss that is reported is weighted; no
            other metric is.
        metrics: beside the loss: ``accuracy``; ``top5``, or another number: the class is among the
            so many of highest logits; ``f1``: the mean of the classes' F1; ``f1_binary``: of two
            classes, the second one's F1; ``auc``: of two classes the second one's, else the mean
            over each against the rest. The last three are measured in evaluation only.
    """

    needs: ClassVar[str] = "class"
    metrics: Mapping[str, Metric] = {"loss": Mean(), "accuracy": Mean()}

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: list[float] | dict[str, float] | Literal["balanced"] | None = None,
        metrics: Sequence[str] = ("accuracy",),
    ) -> None:
        super().__init__(name="task")
        if not 0.0 <= label_smoothing < 1.0:
            raise ConfigError(
                f"task.label_smoothing: {label_smoothing} is not a share in [0, 1); 0.1 is usual"
            )
        self.label_smoothing = label_smoothing
        self.class_weights = _plain(class_weights)
        self.asked = list(metrics)
        self.top = {name: int(name[3:]) for name in self.asked if re.fullmatch(r"top\d+", name)}
        self.weights: np.ndarray | None = None  # float32 [classes]
        self.metrics = self._metrics(2)

    def _metrics(self, classes: int) -> dict[str, Metric]:
        offered: dict[str, Metric] = {
            "loss": Mean(),
            "accuracy": Mean(),
            "top5": Mean(),
            **{name: Mean() for name in self.top},
            "f1": F1(classes),
            "f1_binary": F1(classes, "binary"),
            "auc": AUC(1 if classes == 2 else classes),
        }
        return chosen(self, self.asked, offered)

    def build(self, data: DataSpec) -> None:
        classes = data.outputs or 1
        self.metrics = self._metrics(classes)
        for name, k in self.top.items():
            if not 0 < k < classes:
                raise ConfigError(
                    f"task.metrics: {name} of the {classes} classes of dataset {data.name!r} is "
                    f"always {min(k, 1)}; take one from top1 to top{classes - 1}"
                )
        if "f1_binary" in self.metrics and classes != 2:
            raise ConfigError(
                f"task.metrics: f1_binary is for 2 classes, but dataset {data.name!r} has "
                f"{classes}. Use f1, the mean over all classes."
            )
        self.weights = None if self.class_weights is None else _weights(self.class_weights, data)

    def check(self, model: Layer, output: tf.TensorSpec, data: DataSpec) -> None:
        """``[batch, classes]``."""
        if output.shape.rank != 2 or output.shape[-1] != data.outputs:
            raise refuse_output(model, output, data, self.wanted(data), [None, data.outputs])

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """``[batch, classes], [batch] -> [batch]``, in float32 whatever the logits are."""
        logits = tf.cast(outputs, tf.float32)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
        if self.label_smoothing:
            # Cross-entropy against the uniform target, without making the one-hot targets.
            uniform = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
            loss = (1.0 - self.label_smoothing) * loss + self.label_smoothing * uniform
        return loss if self.weights is None else loss * tf.gather(self.weights, targets)

    def measure(
        self, outputs: tf.Tensor, targets: tf.Tensor, loss: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        predicted = tf.argmax(outputs, -1, output_type=targets.dtype)
        found = {"loss": loss, "accuracy": tf.cast(tf.equal(predicted, targets), tf.float32)}
        if self.top:
            place = _place(outputs, targets)
            found |= {name: tf.cast(place < k, tf.float32) for name, k in self.top.items()}
        classes = outputs.shape[-1]
        for name in {"f1", "f1_binary", "auc"} & {*self.metrics}:
            truth = tf.one_hot(targets, classes)
            given = _log_odds(outputs) if name == "auc" else tf.one_hot(predicted, classes)
            if name == "auc" and classes == 2:
                given, truth = given[:, 1:], truth[:, 1:]
            found[name] = rows_of(self.metrics[name], truth, given)
        return {name: found[name] for name in self.metrics}

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities ``[batch, classes]``, float32."""
        return tf.nn.softmax(tf.cast(outputs, tf.float32))


def _place(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """int32 ``[batch]``: how many classes come before the true one, of equal logits the first."""
    truth = tf.gather(logits, labels, batch_dims=1)[:, tf.newaxis]
    before = tf.range(logits.shape[-1], dtype=labels.dtype) < labels[:, tf.newaxis]
    # Nothing is higher than NaN, which would thereby come first. (Nor would ~(logits <= truth) do:
    # TensorFlow turns that into logits > truth.)
    earlier = (logits > truth) | (tf.equal(logits, truth) & before) | tf.math.is_nan(truth)
    return tf.reduce_sum(tf.cast(earlier, tf.int32), -1)


def _log_odds(logits: tf.Tensor) -> tf.Tensor:
    """``log(p / (1 - p))`` of each class's probability, ``[batch, classes]``."""
    logits = tf.cast(logits, tf.float32)
    logits -= tf.reduce_max(logits, -1, keepdims=True)
    share = tf.exp(logits)
    highest = tf.one_hot(tf.argmax(logits, -1), logits.shape[-1], on_value=True, off_value=False)
    # All but the class itself. Taking the highest from the sum would leave rounding alone.
    others = tf.where(
        highest,
        tf.reduce_sum(tf.where(highest, 0.0, share), -1, keepdims=True),
        tf.reduce_sum(share, -1, keepdims=True) - share,
    )
    return logits - tf.math.log(others)


def _plain(asked: Any) -> Any:
    """Without Hydra's containers, which no module may hold."""
    if isinstance(asked, Mapping):
        return {str(name): float(weight) for name, weight in asked.items()}
    return asked if asked is None or isinstance(asked, str) else [float(weight) for weight in asked]


def _weights(asked: Any, data: DataSpec) -> np.ndarray:
    """float32 [classes]."""
    classes = data.outputs or 0
    if isinstance(asked, str):
        if asked != "balanced":
            raise ConfigError(
                f"task.class_weights: {asked!r} is not balanced, a list or a mapping of classes"
            )
        if data.counts is None:
            raise ConfigError(
                f"task.class_weights=balanced: the classes of {data.name!r} are not counted; give "
                "a number for each class"
            )
        counts = data.counts()
        there = counts > 0
        balanced = counts.sum() / (there.sum() * np.maximum(counts, 1))
        return np.where(there, balanced, 1.0).astype(np.float32)
    if isinstance(asked, Mapping):
        for name in asked:
            if name not in data.names:
                raise ConfigError(
                    f"task.class_weights: dataset {data.name!r} has no class {name!r}. "
                    f"{did_you_mean(name, data.names)}"
                )
        weights = [asked.get(name, 1.0) for name in data.names]
    else:
        weights = list(asked)
        if len(weights) != classes:
            raise ConfigError(
                f"task.class_weights: {len(weights)} numbers are given, but dataset {data.name!r} "
                f"has {classes} classes"
            )
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise ConfigError(
            f"task.class_weights: {weights} are not numbers from 0 on, one of them above 0"
        )
    return np.array(weights, np.float32)
