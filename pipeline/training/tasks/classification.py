"""One class for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from layers import Layer
from pipeline.errors import ConfigError
from pipeline.training.metrics import Mean, Metric
from pipeline.training.tasks.base import DataSpec, Task, refuse_output


class Classification(Task):
    """One class an example: softmax cross-entropy and accuracy.

    Args:
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).
            The loss that is reported in evaluation is smoothed too.
    """

    needs: ClassVar[str] = "class"
    metrics: Mapping[str, Metric] = {"loss": Mean(), "accuracy": Mean()}

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__(name="task")
        if not 0.0 <= label_smoothing < 1.0:
            raise ConfigError(
                f"task.label_smoothing: {label_smoothing} is not a share in [0, 1); 0.1 is usual"
            )
        self.label_smoothing = label_smoothing

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
        return loss

    def measure(
        self, outputs: tf.Tensor, targets: tf.Tensor, loss: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Whether the class of the highest logit is the right one."""
        predicted = tf.argmax(outputs, -1, output_type=targets.dtype)
        return {"loss": loss, "accuracy": tf.cast(tf.equal(predicted, targets), tf.float32)}

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """Probabilities ``[batch, classes]``, float32."""
        return tf.nn.softmax(tf.cast(outputs, tf.float32))

    def __repr__(self) -> str:
        return f"Classification(label_smoothing={self.label_smoothing})"
