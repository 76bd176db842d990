"""Numbers: one or several an example, or at every step of a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from layers import Layer
from pipeline.errors import ConfigError, DataError, did_you_mean
from pipeline.training.metrics import R2, Mean, Metric, Root, rows_of
from pipeline.training.tasks.base import DataSpec, Task, chosen, refuse_output

LOSSES = ("mse", "mae", "huber")


class Regression(Task):
    """Predicts numbers; metrics and answers are in the target's own units.

    Targets ``[batch]``, ``[batch, targets]`` or, of sequences, ``[batch, time, targets]``; outputs
    of the same shape, and ``[batch, 1]`` for ``[batch]``. The loss is the mean over all numbers of
    an example. Metrics take every step of a sequence for an observation; of several targets each
    has its own, and they are averaged, as scikit-learn does it.

    Args:
        loss: ``mse``: squared error; ``mae``: absolute error; ``huber``: squared up to ``delta``
            and absolute beyond it, halved as in Huber 1964.
        delta: of ``huber``; in deviations of the target where it is standardized.
        standardize: the model predicts ``(target - mean) / deviation`` of the training split, so
            that its first outputs are of the right size whatever the units are. The loss is in
            these units. Both are learnt before training, for each target, and kept in checkpoints.
        metrics: beside the loss: ``mae``, ``rmse``, ``r2``; the last two in evaluation only.
    """

    needs: ClassVar[str] = "numbers"
    metrics: Mapping[str, Metric] = {"loss": Mean(), "mae": Mean(), "rmse": Root(), "r2": R2()}

    def __init__(
        self,
        loss: Literal["mse", "mae", "huber"] = "mse",
        delta: float = 1.0,
        standardize: bool = True,
        metrics: Sequence[Literal["mae", "rmse", "r2"]] = ("mae", "rmse", "r2"),
    ) -> None:
        super().__init__(name="task")
        if loss not in LOSSES:
            raise ConfigError(f"task.loss: there is no loss {loss!r}. {did_you_mean(loss, LOSSES)}")
        if not delta > 0:
            raise ConfigError(f"task.delta: {delta} is not above 0; 1 is usual")
        self.kind_of_loss = loss
        self.delta = delta
        self.standardize = standardize
        self.asked = list(metrics)
        self.metrics = self._metrics(1)

    def _metrics(self, targets: int) -> dict[str, Metric]:
        offered = {"loss": Mean(), "mae": Mean(), "rmse": Root(targets), "r2": R2(targets)}
        return chosen(self, self.asked, offered)

    def build(self, data: DataSpec) -> None:
        assert data.target is not None
        shape = data.target.shape
        self.targets = shape[-1] if shape.rank > 1 else 1
        self.metrics = self._metrics(self.targets)
        if self.standardize:
            sizes = [] if shape.rank == 1 else [self.targets]
            self.mean = _statistic("target_mean", np.zeros(sizes))
            self.deviation = _statistic("target_deviation", np.ones(sizes))

    def adapt(self, targets: Callable[[], Iterable[np.ndarray]]) -> None:
        """Learn each target's mean and deviation (the biased one, as of scikit-learn's scaler)."""
        if not self.standardize:
            return
        count, origin, total, squares = 0, np.empty([0]), 0.0, 0.0
        for batch in targets():
            rows = np.reshape(batch, [-1, *self.mean.shape]).astype(np.float64)
            if not len(rows):
                continue
            if not count:
                origin = rows[0]  # sums of numbers far from 0 would lose their differences
            rows = rows - origin
            count += len(rows)
            total, squares = total + rows.sum(0), squares + np.square(rows).sum(0)
        if not count:
            raise DataError("task.standardize: the training split has no example to learn from")
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        if not np.isfinite(deviation).all():
            raise DataError(
                "task.standardize: the targets of the training split hold NaN or infinity"
            )
        self.mean.assign((mean + origin).astype(np.float32))
        # A target that never varies is left in its units.
        self.deviation.assign(np.where(deviation > 0, deviation, 1.0).astype(np.float32))

    def check(self, model: Layer, output: tf.TensorSpec, data: DataSpec) -> None:
        """The target's shape; ``[batch, 1]`` too where that is ``[batch]``."""
        assert data.target is not None
        target = data.target.shape.as_list()
        expected = [None, 1] if target == [None] else target
        if output.shape.as_list() not in (expected, target):
            has = f"targets of shape {target}"
            raise refuse_output(model, output, data, has, expected)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        targets = tf.cast(targets, tf.float32)
        outputs = tf.reshape(tf.cast(outputs, tf.float32), tf.shape(targets))
        if self.standardize:
            targets = (targets - self.mean) / self.deviation
        error = tf.abs(outputs - targets)
        if self.kind_of_loss == "mse":
            error = tf.square(error)
        elif self.kind_of_loss == "huber":
            near = tf.minimum(error, self.delta)
            error = near * (error - 0.5 * near)
        return tf.reduce_mean(error, list(range(1, error.shape.rank)))

    def measure(
        self, outputs: tf.Tensor, targets: tf.Tensor, loss: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        predicted = self._by_target(self.predict(outputs))  # [batch, time, targets]
        truth = self._by_target(tf.cast(targets, tf.float32))
        error = predicted - truth
        found = {
            "loss": loss,
            "mae": tf.reduce_mean(tf.abs(error), [1, 2]),
            "rmse": tf.reduce_mean(tf.square(error), 1),
        }
        if "r2" in self.metrics:
            found["r2"] = rows_of(self.metrics["r2"], truth, predicted)
        return {name: found[name] for name in self.metrics}

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """The numbers in the target's units, of the shape of the outputs, float32."""
        outputs = tf.cast(outputs, tf.float32)
        return outputs * self.deviation + self.mean if self.standardize else outputs

    def _by_target(self, x: tf.Tensor) -> tf.Tensor:
        steps = math.prod(x.shape[1:]) // self.targets
        return tf.reshape(x, [-1, steps, self.targets])


def _statistic(name: str, value: Any) -> tf.Variable:
    return tf.Variable(
        value.astype(np.float32),
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        name=name,
    )
