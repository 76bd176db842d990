"""Many training steps in one call into the graph, with the evaluations that fall between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import tensorflow as tf

from pipeline.data.feed import Feed, ResidentFeed
from pipeline.training.evaluation import Evaluation, Validation
from pipeline.training.kept import KeptState
from pipeline.training.step import TrainingStep


class Call(NamedTuple):
    """What one call gives back, as tensors.

    Attributes:
        steps: taken; fewer than were asked for where a loss or gradient was not finite.
        rows: float32 [most steps, columns], of which ``steps`` mean something.
        first: the step counter before, and ``last``: after.
        count: of evaluations, and ``evaluations``: float64 [most, 1 + metrics], each with its step.
        kept: the step whose state is kept; -1: no evaluation was better than the best before.
    """

    steps: Any
    rows: Any
    first: Any
    last: Any
    count: Any
    evaluations: Any
    kept: Any


class _Evaluated(NamedTuple):
    """What the evaluations of a call carry on."""

    count: tf.Tensor
    rows: tf.TensorArray
    best: tf.Tensor
    kept: tf.Tensor


@dataclass(eq=False)  # a key of caches
class InnerLoop:
    """The graph. Called in cross-replica context, inside a ``tf.function``.

    Attributes:
        counter: of optimizer steps, the state of the feed.
        validation: and its ``evaluation``, where there is one on the way.
        kept: takes the state at the best evaluation.
        most: steps in one call.
    """

    strategy: tf.distribute.Strategy
    counter: tf.Variable
    step: TrainingStep
    feed: Feed
    most: int
    validation: Validation | None = None
    evaluation: Evaluation | None = None
    kept: KeptState | None = None

    def __post_init__(self) -> None:
        self.per_epoch = self.feed.steps_per_epoch

    def orders(self, steps: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """In which order each of the next ``steps`` visits its epoch: int32 [epochs, size], of a
        resident feed."""
        assert isinstance(self.feed, ResidentFeed)
        first, per_epoch = self.counter.read_value(), self.per_epoch
        epoch, last = first // per_epoch, (first + steps - 1) // per_epoch
        most = -(-self.most // per_epoch) + 1
        return self.feed.orders(seed, epoch, tf.cast(last - epoch + 1, tf.int32), most)

    def __call__(
        self,
        steps: tf.Tensor,
        orders: tf.Tensor,
        data: Any,
        best: tf.Tensor,
        at_end: tf.Tensor,
        seed: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Call:
        """Take ``steps`` steps from where the counter stands.

        Args:
            orders: of the epochs that they are in, as the feed's ``order_of`` takes them.
            data: what each replica holds of the feed's examples.
            best: float64, the objective so far; NaN where there is none.
            at_end: evaluate after the last one, due or not.
            seed, learning_rate: not constants, so that runs which differ in these alone have the
                same graph, which is compiled once.
        """
        first, per_epoch = self.counter.read_value(), self.per_epoch
        given = (data, seed, learning_rate)
        every = self.validation.every if self.validation else 0

        # In stretches, each of which ends with the epoch, at an evaluation, or with the call.
        def stretch(_: Any, done: Any, finite: Any, rows: Any, evaluated: _Evaluated) -> Any:
            begin, counted = done, self.counter.read_value()
            order = self.feed.order_of(orders, counted // per_epoch - first // per_epoch)
            end = tf.minimum(steps, done + per_epoch - counted % per_epoch)
            if every:
                end = tf.minimum(end, done + every - counted % every)
            done, finite, rows = self._steps(order, given, done, finite, rows, end)
            if every:
                on_time = (done > begin) & tf.equal(self.counter.read_value() % every, 0)
                due = finite & (on_time | (at_end & tf.equal(done, steps)))
                evaluated = self._evaluate(due, evaluated)
            return finite & (done < steps), done, finite, rows, evaluated

        rows = tf.TensorArray(tf.float32, self.most, element_shape=[len(self.step.columns)])
        state = (tf.constant(True), _zero(), tf.constant(True), rows, self._nothing(best))
        _, done, _, rows, evaluated = tf.while_loop(
            lambda going, *_: going, stretch, state, parallel_iterations=1
        )
        return Call(
            *(done, rows.stack(), first, self.counter.read_value()),
            *(evaluated.count, evaluated.rows.stack(), evaluated.kept),
        )

    def _steps(self, order: Any, given: Any, done: Any, finite: Any, rows: Any, end: Any) -> Any:
        """Steps until ``end`` are done or one is not finite."""

        def body(done: Any, finite: Any, rows: Any) -> Any:
            with tf.name_scope(""):  # else every variable's name grows in the loop
                row = self._step(order, *given)
            rows = rows.write(tf.cast(done, tf.int32), row)
            return done + 1, tf.reduce_all(tf.math.is_finite(row)), rows

        return tf.while_loop(
            lambda done, finite, rows: (done < end) & finite,
            body,
            (done, finite, rows),
            parallel_iterations=1,
        )

    def _step(self, order: Any, data: Any, seed: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        counted = self.counter.read_value()
        position = tf.cast(counted % self.per_epoch, tf.int32)
        args = (counted, order, position, data, seed, learning_rate)

        def run(length: int | None) -> tf.Tensor:
            row = self.strategy.run(self.step, args=args, kwargs={"length": length})
            return self.strategy.experimental_local_results(row)[0]

        row = self._at_length(self.feed.bucket(order, position), run)
        self.counter.assign_add(1)
        return row

    def _at_length(self, bucket: tf.Tensor, run: Callable[[int | None], tf.Tensor]) -> tf.Tensor:
        """``run`` at the length of a ``bucket``. A step has static shapes, so each is a branch."""
        lengths = self.feed.lengths
        if len(lengths) < 2:
            return run(lengths[0] if lengths else None)
        # Around the replicas: inside of one they could not reduce together.
        branches = [partial(run, length) for length in lengths]
        return cast(tf.Tensor, tf.switch_case(bucket, branches))

    def _nothing(self, best: tf.Tensor) -> _Evaluated:
        width = 1 + len(self.evaluation.task.metrics) if self.evaluation else 1
        most = self.most // self.validation.every + 2 if self.validation else 1
        rows = tf.TensorArray(tf.float64, most, element_shape=[width])
        return _Evaluated(tf.constant(0), rows, best, _zero() - 1)

    def _evaluate(self, due: tf.Tensor, before: _Evaluated) -> _Evaluated:
        """One evaluation, if it is ``due``; the state is kept where it is the best so far."""
        assert self.validation is not None
        assert self.evaluation is not None
        counted = self.counter.read_value()
        results = self.evaluation.results(due)
        row = tf.concat([[tf.cast(counted, tf.float64)], results], 0)
        # Where it is not due, its place is taken by the next one that is.
        after = before._replace(
            count=before.count + tf.cast(due, tf.int32), rows=before.rows.write(before.count, row)
        )
        if self.kept is None:
            return after
        metrics = list(self.evaluation.task.metrics)
        objective = results[metrics.index(str(self.validation.objective))]
        gain = objective - before.best if self.validation.maximise else before.best - objective
        better = tf.math.is_nan(before.best) | (gain > self.validation.min_delta)
        better &= due & tf.math.is_finite(objective)
        tf.cond(better, self._keep, lambda: tf.constant(False))
        return after._replace(
            best=tf.where(better, objective, before.best),
            kept=tf.where(better, counted, before.kept),
        )

    def _keep(self) -> tf.Tensor:
        assert self.kept is not None
        self.kept.keep()
        return tf.constant(True)


def _zero() -> tf.Tensor:
    return tf.constant(0, tf.int64)
