"""The inner loops: n training steps, or one pass over a split, in one call into the graph.

``Trainer.train(n)`` runs n optimizer steps and returns a row of numbers for each; the graph stops
at the first step whose loss or gradient is not finite. ``Trainer.evaluate(feed)`` covers every
example exactly once. When to call them is the outer loop's business (``loop.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from layers import Layer
from pipeline.data.feed import ResidentFeed
from pipeline.errors import TrainingError
from pipeline.training.average import WeightAverage
from pipeline.training.compilation import Compilation
from pipeline.training.optimizers import Optimizer
from pipeline.training.step import TrainingStep
from pipeline.training.task import Task


class Trainer:
    """Runs the steps of one model on one strategy. Everything it is given is built already."""

    def __init__(
        self,
        *,
        strategy: tf.distribute.Strategy,
        model: Layer,
        task: Task,
        optimizer: Optimizer,
        feed: ResidentFeed,
        preprocess: Callable[[tf.Tensor], tf.Tensor],
        factor: Callable[[tf.Tensor], tf.Tensor],
        seed: int,
        clip_norm: float | None,
        accumulate: int,
        average: WeightAverage | None,
        compilation: Compilation,
        steps_per_call: int,
    ) -> None:
        self.strategy = strategy
        self.model = model
        self.task = task
        self.feed = feed
        self.preprocess = preprocess
        self.average = average
        self.compilation = compilation
        self.steps_per_call = steps_per_call
        self.seconds = 0.0  # spent in training calls, compilation left out
        self.steps_done = 0  # by this process
        with strategy.scope():
            self.step = tf.Variable(
                tf.constant(0, tf.int64),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name="step",
            )
        self._step = TrainingStep(
            model,
            task,
            optimizer,
            feed,
            preprocess,
            factor,
            seed,
            clip_norm,
            accumulate,
            average,
            compiled=compilation.mode == "gradients",
        )
        self.columns = self._step.columns
        self._seed = seed
        self._make_loop()
        self._evaluations: dict[str, Any] = {}

    @property
    def current_step(self) -> int:
        """Optimizer steps taken so far, over all processes of the run."""
        return int(self.step.numpy())

    def warm_up(self) -> Compilation:
        """Trace and compile without taking a step. Returns how the loop was compiled in the end."""
        try:
            self._loop(tf.constant(0, tf.int64))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if self.compilation.mode == "off" or self.compilation.reason.startswith("asked"):
                raise
            reason = f"XLA refuses the model: {str(error).strip().splitlines()[0][:200]}"
            self.compilation = Compilation("off", reason)
            self._step.compiled = False
            self._make_loop()
            self._loop(tf.constant(0, tf.int64))
        return self.compilation

    def train(self, steps: int) -> np.ndarray:
        """Take ``steps`` (at most ``steps_per_call``) steps; float32 rows [steps, columns].

        Raises ``TrainingError`` that names the step where a loss or gradient was not finite.
        """
        begun = time.perf_counter()
        done, rows, first, last = (x.numpy() for x in self._loop(tf.constant(steps, tf.int64)))
        rows = rows[:done]
        self.seconds += time.perf_counter() - begun
        self.steps_done += len(rows)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            row = dict(zip(self.columns, rows[bad[0]], strict=True))
            values = ", ".join(f"{k}={v:g}" for k, v in row.items() if not np.isfinite(v))
            raise TrainingError(
                f"training is not finite at step {first + int(bad[0]) + 1} (the call ran steps "
                f"{first + 1} to {first + steps}): {values}. The last checkpoint is from before "
                "it. Lower optimizer.learning_rate, set trainer.clip_norm=1.0, or look at the data."
            )
        if last != first + steps:
            raise TrainingError(
                f"{steps} steps were asked for and the step counter moved from {first} to {last}"
            )
        return rows

    def evaluate(self, feed: ResidentFeed) -> dict[str, float]:
        """The mean of each metric over every example of the split, with the average if kept."""
        if feed.name not in self._evaluations:
            self._evaluations[feed.name] = self._make_evaluation(feed)
        rows = self._evaluations[feed.name]().numpy()
        # Summed in float64 on the host: a float32 sum over many batches would round.
        sums = rows.astype(np.float64).sum(axis=0)
        return {name: float(s / sums[-1]) for name, s in zip(self.task.metrics, sums, strict=False)}

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Inside, the model holds the weights that are evaluated and exported."""
        return self.average.applied() if self.average else nullcontext()

    def _make_loop(self) -> None:
        feed, strategy, width = self.feed, self.strategy, len(self.columns)
        per_epoch = feed.steps_per_epoch

        def one_step(order: tf.Tensor) -> tf.Tensor:
            position = tf.cast(self.step % per_epoch, tf.int32)
            row = strategy.run(
                self._step, args=(self.step.read_value(), order, position, feed.inputs, feed.labels)
            )
            self.step.assign_add(1)
            return strategy.experimental_local_results(row)[0]

        def loop(steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
            first = self.step.read_value()
            rows = tf.TensorArray(tf.float32, self.steps_per_call, element_shape=[width])

            def unfinished(done: tf.Tensor, finite: tf.Tensor, *_: Any) -> tf.Tensor:
                return (done < steps) & finite

            def epoch(done: tf.Tensor, finite: tf.Tensor, rows: tf.TensorArray) -> Any:
                order = feed.order(self._seed, self.step // per_epoch)
                left = tf.cast(per_epoch - self.step % per_epoch, tf.int64)
                end = tf.minimum(steps, done + left)

                def body(done: tf.Tensor, finite: tf.Tensor, rows: tf.TensorArray) -> Any:
                    with tf.name_scope(""):  # else every variable's name grows in the loop
                        row = one_step(order)
                    rows = rows.write(tf.cast(done, tf.int32), row)
                    return done + 1, tf.reduce_all(tf.math.is_finite(row)), rows

                return tf.while_loop(
                    lambda done, finite, rows: (done < end) & finite,
                    body,
                    (done, finite, rows),
                    parallel_iterations=1,
                )

            done, _, rows = tf.while_loop(
                unfinished,
                epoch,
                (tf.constant(0, tf.int64), tf.constant(True), rows),
                parallel_iterations=1,
            )
            return done, rows.stack(), first, self.step.read_value()

        self._loop = tf.function(
            loop,
            jit_compile=self.compilation.mode == "loop" or None,
            autograph=False,
            input_signature=[tf.TensorSpec([], tf.int64)],
        )

    def _make_evaluation(self, feed: ResidentFeed) -> Any:
        width = len(self.task.metrics) + 1

        def one_batch(position: tf.Tensor, inputs: Any, labels: Any) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            indices, mask = feed.evaluation_indices(position, context.replica_id_in_sync_group)
            y = tf.gather(labels, indices)
            logits = self.model(self.preprocess(tf.gather(inputs, indices)), training=False)
            values = self.task.measure(logits, y, self.task.loss(logits, y))
            sums = tf.stack([*(tf.reduce_sum(v * mask) for v in values), tf.reduce_sum(mask)])
            return context.all_reduce(tf.distribute.ReduceOp.SUM, sums)

        def evaluation() -> tf.Tensor:
            with self.evaluated_weights():  # in the graph, which takes no time
                return batches()

        def batches() -> tf.Tensor:
            rows = tf.TensorArray(tf.float32, feed.evaluation_steps, element_shape=[width])

            def body(position: tf.Tensor, rows: tf.TensorArray) -> Any:
                with tf.name_scope(""):
                    row = self.strategy.run(one_batch, args=(position, feed.inputs, feed.labels))
                row = self.strategy.experimental_local_results(row)[0]
                return position + 1, rows.write(position, row)

            _, rows = tf.while_loop(
                lambda position, _: position < feed.evaluation_steps,
                body,
                (tf.constant(0), rows),
                parallel_iterations=1,
            )
            return rows.stack()

        return tf.function(
            evaluation, jit_compile=self.compilation.mode == "loop" or None, autograph=False
        )
