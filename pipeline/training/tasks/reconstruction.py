"""The inputs themselves: autoencoders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import tensorflow as tf

from layers import Layer
from pipeline.errors import ConfigError, did_you_mean
from pipeline.training.metrics import Mean, Metric, Root
from pipeline.training.tasks.base import DataSpec, Task, chosen, refuse_output

LOSSES = ("mse", "bce")


class Reconstruction(Task):
    """Gives back the inputs as preprocessing has made them, ``[batch, ...]``.

    Args:
        loss: ``mse``: squared error. ``bce``: the outputs are logits, the inputs are in [0, 1]:
            cross-entropy, whose least value is above 0 unless inputs are 0 or 1. Both are the mean
            over all numbers of an example.
        peak: the largest value that an input can have, as ``psnr`` takes it.
        metrics: beside the loss: ``mae``, ``rmse``; ``psnr``: 10 log10(peak^2 / squared error) of
            each example, in dB, 100 at most.
    """

    needs: ClassVar[str] = "inputs"
    metrics: Mapping[str, Metric] = {"loss": Mean(), "rmse": Root()}

    def __init__(
        self,
        loss: Literal["mse", "bce"] = "mse",
        peak: float = 1.0,
        metrics: Sequence[Literal["mae", "rmse", "psnr"]] = ("rmse",),
    ) -> None:
        super().__init__(name="task")
        if loss not in LOSSES:
            raise ConfigError(f"task.loss: there is no loss {loss!r}. {did_you_mean(loss, LOSSES)}")
        if not peak > 0:
            raise ConfigError(f"task.peak: {peak} is not above 0; 1 is that of scaled images")
        self.kind_of_loss = loss
        self.peak = peak
        offered = {"loss": Mean(), "mae": Mean(), "rmse": Root(), "psnr": Mean()}
        self.metrics = chosen(self, metrics, offered)

    def check(self, model: Layer, output: tf.TensorSpec, data: DataSpec) -> None:
        """The shape of the inputs, which must be one tensor."""
        if not isinstance(data.inputs, tf.TensorSpec):
            raise ConfigError(
                f"task: Reconstruction gives back one tensor, but dataset {data.name!r} has the "
                f"inputs {', '.join(data.inputs)}. Name one in dataset.inputs, or join them in "
                "dataset.preprocess."
            )
        expected = data.inputs.shape.as_list()
        if output.shape.as_list() != expected:
            advice = f"Give the last layer {expected[-1]} units or filters, or reshape its output."
            has = f"inputs of shape {expected}"
            raise refuse_output(model, output, data, has, expected, advice)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        targets, outputs = tf.cast(targets, tf.float32), tf.cast(outputs, tf.float32)
        if self.kind_of_loss == "bce":
            each = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=outputs)
        else:
            each = tf.math.squared_difference(outputs, targets)
        return _mean(each)

    def measure(
        self, outputs: tf.Tensor, targets: tf.Tensor, loss: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        error = self.predict(outputs) - tf.cast(targets, tf.float32)
        square = _mean(tf.square(error))
        noise = tf.maximum(square / self.peak**2, 1e-10)
        found = {
            "loss": loss,
            "mae": _mean(tf.abs(error)),
            "rmse": square,
            "psnr": -10.0 / math.log(10.0) * tf.math.log(noise),
        }
        return {name: found[name] for name in self.metrics}

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """The reconstructions, in the units of the preprocessed inputs, float32."""
        outputs = tf.cast(outputs, tf.float32)
        return tf.sigmoid(outputs) if self.kind_of_loss == "bce" else outputs


def _mean(x: tf.Tensor) -> tf.Tensor:
    """Over all but the batch."""
    return tf.reduce_mean(x, list(range(1, x.shape.rank)))
