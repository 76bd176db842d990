"""What a model is asked to do: its loss, its metrics, and what it predicts.

Metrics are sums over examples, reported beside the number of examples, so that they merge over
batches, microbatches and replicas exactly.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from layers import Layer, layers_of
from pipeline.errors import ConfigError


class Classification:
    """One class an example: softmax cross-entropy and accuracy.

    Args:
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).
            The loss that is reported in evaluation is smoothed too.
    """

    metrics = ("loss", "accuracy")

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0.0 <= label_smoothing < 1.0:
            raise ConfigError(
                f"task.label_smoothing: {label_smoothing} is not a share in [0, 1); 0.1 is usual"
            )
        self.label_smoothing = label_smoothing

    def check(self, model: Layer, output: tf.TensorSpec, dataset: str, classes: int) -> None:
        """Raise ``ConfigError`` unless the model's output ``[batch, classes]`` fits the dataset."""
        if output.shape.rank == 2 and output.shape[-1] == classes:
            return
        last = [v.path for v in layers_of(model) if v.path and v._output_spec == output]
        where = f"model.layers.{last[-1].replace('/', '.layers.')}" if last else "model"
        raise ConfigError(
            f"{where}: its output has shape {output.shape.as_list()}, but dataset {dataset!r} has "
            f"{classes} classes, so [None, {classes}] is expected. Give the last layer "
            "units: ${dataset.classes}."
        )

    def loss(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """``[batch, classes], [batch] -> [batch]``, in float32 whatever the logits are."""
        logits = tf.cast(logits, tf.float32)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        if self.label_smoothing:
            # Cross-entropy against the uniform target, without making the one-hot targets.
            uniform = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
            loss = (1.0 - self.label_smoothing) * loss + self.label_smoothing * uniform
        return loss

    def measure(self, logits: tf.Tensor, labels: tf.Tensor, loss: tf.Tensor) -> list[tf.Tensor]:
        """One float32 value an example ``[batch]`` for each of ``metrics``; ``loss`` is known."""
        predicted = tf.argmax(logits, -1, output_type=labels.dtype)
        return [loss, tf.cast(tf.equal(predicted, labels), tf.float32)]

    def predict(self, logits: tf.Tensor) -> tf.Tensor:
        """Probabilities ``[batch, classes]``, float32: what the exported model answers."""
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    def __repr__(self) -> str:
        return f"Classification(label_smoothing={self.label_smoothing})"


Task = Any  # a class with the methods of Classification
