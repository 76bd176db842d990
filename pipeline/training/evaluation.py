"""Metrics over every example of a split, in graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from layers import Layer
from pipeline.data.feed import Feed, ResidentFeed
from pipeline.training.metrics import sums_of, values_of, width_of
from pipeline.training.tasks import Task


@dataclass(frozen=True)
class Validation:
    """What is evaluated on the way, and when a state is the best so far.

    Attributes:
        every: steps from one evaluation to the next; there is one after the last step too.
        objective: which of the task's metrics says so; None: something else does, so no call goes
            beyond an evaluation.
    """

    feed: Feed
    every: int
    objective: str | None = None
    maximise: bool = True
    min_delta: float = 0.0


class Evaluation:
    """The metrics of ``task`` over a split.

    Args:
        weights: inside, the model has the weights that are evaluated.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: Layer,
        task: Task,
        feed: Feed,
        preprocess: Callable[[Any], Any],
        weights: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.strategy = strategy
        self.model = model
        self.task = task
        self.feed = feed
        self.preprocess = preprocess
        self.weights = weights

    def results(self, when: tf.Tensor | bool = True) -> tf.Tensor:
        """float64 [metrics], in cross-replica context; NaN, and no work, unless ``when``."""
        assert isinstance(self.feed, ResidentFeed)
        steps = tf.where(when, self.feed.evaluation_steps, 0)
        return self.values(self.sums(self.feed.data, tf.constant(0), steps, self.nothing()))

    def nothing(self) -> tf.Tensor:
        """The sums of no batch."""
        return tf.zeros([1 + width_of(self.task.metrics)], tf.float64)

    def sums(self, data: Any, first: tf.Tensor, last: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        """Over the batches from ``first`` to before ``last``, added to those ``before``: float64,
        the sum of the weights of their examples, and those of each metric."""

        def body(position: tf.Tensor, sums: tf.Tensor) -> Any:
            with tf.name_scope(""):  # else every variable's name grows in the loop
                row = self.strategy.run(self._batch, args=(position, first, data))
            return position + 1, sums + self.strategy.experimental_local_results(row)[0]

        with self.weights():
            _, sums = tf.while_loop(
                lambda position, _: position < last,
                body,
                (first, before),
                parallel_iterations=1,
            )
        return sums

    def values(self, sums: tf.Tensor) -> tf.Tensor:
        """Each metric, float64, out of what ``sums`` gives."""
        values = values_of(self.task.metrics, sums[1:], sums[0], tnp)
        return tf.stack([tf.cast(value, tf.float64) for value in values])

    def _batch(self, position: tf.Tensor, first: tf.Tensor, data: Any) -> tf.Tensor:
        """The sum of the weights of the batch's examples, and those of each metric."""
        with tf.name_scope("evaluation"):
            context = tf.distribute.get_replica_context()
            replica = context.replica_id_in_sync_group
            indices, mask = self.feed.evaluation_indices(position, replica, first)
            batch = tf.nest.map_structure(lambda held: tf.gather(held, indices), data)
            sums = self._sums(batch, mask)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, sums)

    def _sums(self, batch: dict[str, Any], mask: tf.Tensor) -> tf.Tensor:
        x = self.preprocess(batch["inputs"])
        y, weights = batch.get("targets", x), mask * batch.get("weights", 1.0)
        outputs = self.model(x, training=False)
        measured = self.task.measure(outputs, y, self.task.loss(outputs, y))
        # float64, since a float32 sum over many examples would round.
        sums = sums_of(self.task.metrics, measured, weights, tf.float64)
        return tf.concat([tf.reduce_sum(tf.cast(weights, tf.float64))[None], sums], 0)
