"""Any number of classes an example: tags, attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import tensorflow as tf

from layers import Layer
from pipeline.errors import ConfigError
from pipeline.training.metrics import AUC, F1, Mean, Metric, rows_of
from pipeline.training.tasks.base import DataSpec, Task, chosen, refuse_output


class MultiLabel(Task):
    """Each class is there or not: the mean over classes of the sigmoid cross-entropy.

    Logits and targets (0 or 1) ``[batch, classes]``; answers the probability of each class.

    Args:
        threshold: a class is predicted whose probability is above it.
        metrics: beside the loss: ``accuracy``: the share of classes that are right (1 - Hamming
            loss); ``exact``: all classes of the example are right; ``f1``: the mean of the classes'
            F1; ``f1_micro``: F1 of all their predictions together; ``auc``: the mean over the
            classes. The last three are measured in evaluation only.
    """

    needs: ClassVar[str] = "classes"
    metrics: Mapping[str, Metric] = {
        "loss": Mean(),
        "accuracy": Mean(),
        "exact": Mean(),
        "f1": F1(1),
    }

    def __init__(
        self,
        threshold: float = 0.5,
        metrics: Sequence[Literal["accuracy", "exact", "f1", "f1_micro", "auc"]] = (
            "accuracy",
            "exact",
            "f1",
        ),
    ) -> None:
        super().__init__(name="task")
        if not 0.0 < threshold < 1.0:
            raise ConfigError(
                f"task.threshold: {threshold} is not a probability in (0, 1); 0.5 is usual"
            )
        self.threshold = threshold
        self.asked = list(metrics)
        self.metrics = self._metrics(1)

    def _metrics(self, classes: int) -> dict[str, Metric]:
        offered: dict[str, Metric] = {
            "loss": Mean(),
            "accuracy": Mean(),
            "exact": Mean(),
            "f1": F1(classes),
            "f1_micro": F1(classes, "micro"),
            "auc": AUC(classes),
        }
        return chosen(self, self.asked, offered)

    def build(self, data: DataSpec) -> None:
        self.metrics = self._metrics(data.outputs or 1)

    def check(self, model: Layer, output: tf.TensorSpec, data: DataSpec) -> None:
        """``[batch, classes]``."""
        if output.shape.rank != 2 or output.shape[-1] != data.outputs:
            raise refuse_output(model, output, data, self.wanted(data), [None, data.outputs])

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        targets = tf.cast(targets, tf.float32)
        outputs = tf.cast(outputs, tf.float32)
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=outputs)
        return tf.reduce_mean(each, -1)

    def measure(
        self, outputs: tf.Tensor, targets: tf.Tensor, loss: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        predicted = tf.cast(self.predict(outputs) > self.threshold, tf.float32)
        truth = tf.cast(targets, tf.float32)
        right = tf.cast(tf.equal(predicted, truth), tf.float32)
        found = {
            "loss": loss,
            "accuracy": tf.reduce_mean(right, -1),
            "exact": tf.reduce_min(right, -1),
        }
        for name in {"f1", "f1_micro", "auc"} & {*self.metrics}:
            given = outputs if name == "auc" else predicted
            found[name] = rows_of(self.metrics[name], truth, given)
        return {name: found[name] for name in self.metrics}

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities ``[batch, classes]``, float32, which need not sum to 1."""
        return tf.sigmoid(tf.cast(outputs, tf.float32))
