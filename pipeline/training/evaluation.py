"""Metrics over every example of a split, in graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from layers import Layer
from pipeline.data.feed import ResidentFeed
from pipeline.training.task import Task


@dataclass(frozen=True)
class Validation:
    """What is evaluated on the way, and when a state is the best so far.

    Attributes:
        every: steps from one evaluation to the next; there is one after the last step too.
        objective: which of the task's metrics says so; None: something else does, so no call goes
            beyond an evaluation.
    """

    feed: ResidentFeed
    every: int
    objective: str | None = None
    maximise: bool = True
    min_delta: float = 0.0


class Evaluation:
    """The mean of each metric of ``task`` over a split.

    Args:
        weights: inside, the model has the weights that are evaluated.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: Layer,
        task: Task,
        feed: ResidentFeed,
        preprocess: Callable[[tf.Tensor], tf.Tensor],
        weights: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.strategy = strategy
        self.model = model
        self.task = task
        self.feed = feed
        self.preprocess = preprocess
        self.weights = weights

    def means(self, when: tf.Tensor | bool = True) -> tf.Tensor:
        """float64 [metrics], in cross-replica context; NaN, and no work, unless ``when``."""
        steps = tf.where(when, self.feed.evaluation_steps, 0)
        width = len(self.task.metrics) + 1

        def body(position: tf.Tensor, sums: tf.Tensor) -> Any:
            with tf.name_scope(""):  # else every variable's name grows in the loop
                row = self.strategy.run(
                    self._batch, args=(position, self.feed.inputs, self.feed.labels)
                )
            row = self.strategy.experimental_local_results(row)[0]
            # float64, since a float32 sum over many batches would round.
            return position + 1, sums + tf.cast(row, tf.float64)

        with self.weights():
            _, sums = tf.while_loop(
                lambda position, _: position < steps,
                body,
                (tf.constant(0), tf.zeros([width], tf.float64)),
                parallel_iterations=1,
            )
        return sums[:-1] / sums[-1]

    def _batch(self, position: tf.Tensor, inputs: Any, labels: Any) -> tf.Tensor:
        """The sum of each metric over the batch, and the number of its examples."""
        with tf.name_scope("evaluation"):
            return self._sums(position, inputs, labels)

    def _sums(self, position: tf.Tensor, inputs: Any, labels: Any) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        indices, mask = self.feed.evaluation_indices(position, context.replica_id_in_sync_group)
        y = tf.gather(labels, indices)
        logits = self.model(self.preprocess(tf.gather(inputs, indices)), training=False)
        values = self.task.measure(logits, y, self.task.loss(logits, y))
        sums = tf.stack([*(tf.reduce_sum(v * mask) for v in values), tf.reduce_sum(mask)])
        return context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
