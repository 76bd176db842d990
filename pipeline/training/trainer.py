"""What trains: n steps, or one pass over a split, in one call into the graph.

``Trainer.train(n)`` runs n optimizer steps and returns a row of numbers for each; the graph stops
at the first step whose loss or gradient is not finite. ``Trainer.evaluate(feed)`` covers every
example exactly once. When to call them is the outer loop's business (``loop.py``).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from layers import Layer
from pipeline.data.augment import Augmentation
from pipeline.data.feed import Feed, ResidentFeed
from pipeline.data.stream import StreamFeed
from pipeline.errors import ConfigError, TrainingError
from pipeline.training.average import WeightAverage
from pipeline.training.compilation import Compilation
from pipeline.training.evaluation import Evaluation, Validation
from pipeline.training.inner_loop import Call, InnerLoop
from pipeline.training.kept import KeptState, can_be_kept
from pipeline.training.optimizers import Optimizer
from pipeline.training.step import TrainingStep
from pipeline.training.tasks import Task


@dataclass(frozen=True)
class Trained:
    """What came of one call.

    Attributes:
        rows: float32 [steps, columns], one of each step, all of them finite.
        evaluations: each with the step after which it was made.
        kept: the step whose state is kept, as the best of them; None: none was better than before.
        failure: why training cannot go on after these rows; empty where it can.
        waited: seconds, for data.
        evaluating: seconds, about.
    """

    rows: np.ndarray
    evaluations: list[tuple[int, dict[str, float]]]
    kept: int | None
    failure: str = ""
    waited: float = 0.0
    evaluating: float = 0.0


class Trainer:
    """Runs the steps of one model on one strategy. Everything it is given is built already.

    Attributes:
        kept: where a call keeps the state at its best evaluation. None: a state that is too large
            to have twice, or an objective that validation does not say; then no call may go beyond
            an evaluation.
    """

    def __init__(
        self,
        *,
        strategy: tf.distribute.Strategy,
        model: Layer,
        task: Task,
        optimizer: Optimizer,
        feed: Feed,
        preprocess: Callable[[Any], Any],
        factor: Callable[[tf.Tensor], tf.Tensor],
        seed: int,
        clip_norm: float | None,
        accumulate: int,
        average: WeightAverage | None,
        compilation: Compilation,
        steps_per_call: int,
        validation: Validation | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.strategy = strategy
        self.model = model
        self.task = task
        self.feed = feed
        self.preprocess = preprocess
        self.average = average
        self.compilation = compilation
        self.steps_per_call = steps_per_call
        self.validation = validation
        self.seed = seed
        self.learning_rate = optimizer.learning_rate
        self.evaluation_seconds = 0.0  # that one evaluation takes, as warming up has found
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
            clip_norm,
            accumulate,
            average,
            compilation.mode,
            augmentation,
        )
        self.columns = self._step.columns
        self.kept: KeptState | None = None
        # What is streamed is evaluated between calls, not within them.
        in_graph = validation if validation and isinstance(validation.feed, ResidentFeed) else None
        if in_graph and in_graph.objective and can_be_kept(self.objects):
            self.kept = KeptState(self.objects)
        self._inner = InnerLoop(strategy, self.step, self._step, feed, steps_per_call)
        if in_graph:
            self._inner.validation = in_graph
            self._inner.evaluation = self._evaluation(in_graph.feed)
            self._inner.kept = self.kept
        self._make_loop()
        self._evaluations: dict[str, Any] = {}

    @property
    def keeps_best(self) -> bool:
        """Whether a call may go beyond an evaluation."""
        return self.kept is not None

    @property
    def objects(self) -> dict[str, Any]:
        """What a checkpoint holds, by name."""
        found = {"step": self.step, "model": self.model, "optimizer": self._step.optimizer}
        found |= {"average": self.average} if self.average else {}
        learnt = {"preprocess": self.preprocess, "task": self.task}  # of the training split
        return found | {name: part for name, part in learnt.items() if _has_variables(part)}

    @property
    def current_step(self) -> int:
        """Optimizer steps taken so far, over all processes of the run."""
        return int(self.step.numpy())

    def warm_up(self) -> Compilation:
        """Trace, compile, and try an evaluation, without taking a step.

        Returns how the loop was compiled in the end.
        """
        self.trace()
        self.compile()
        self.try_evaluation()
        return self.compilation

    def trace(self) -> None:
        """Make the graph, in Python alone."""
        self._loop.get_concrete_function(*self._arguments(0))

    def compile(self) -> None:
        """Let TensorFlow compile it, which may go on beside other Python.

        Takes no step, and writes every variable back as it was. Where XLA refuses the model, it is
        left out; raises ``ConfigError`` where it was asked for.
        """
        try:
            self._call(0)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if self.compilation.mode == "off":
                raise
            if self.compilation.reason.startswith("asked"):
                raise self._refused(error) from error
            reason = f"XLA refuses the model: {_said(error)}"
            self.compilation = Compilation("off", reason)
            self._step.mode = "off"
            self._make_loop()
            self._call(0)

    def try_evaluation(self) -> None:
        """Evaluate once before training, to see that it works and how long it takes."""
        if self.validation is None:
            return
        if isinstance(self.validation.feed, StreamFeed):  # no batch of it: it may take long
            feed, none = self.validation.feed, tf.constant(0)
            add_up, values = self._pass_over(feed)
            values(add_up(feed.idle().data, none, none, self._evaluation(feed).nothing()))
            return
        empty, one = self._seconds(evaluate=False), self._seconds(evaluate=True)
        for _ in range(5 if one < 0.1 else 1):  # again: the first are slower
            empty = min(empty, self._seconds(evaluate=False))
            one = min(one, self._seconds(evaluate=True))
        self.evaluation_seconds = max(0.0, one - empty)

    def train(self, steps: int, best: float | None = None, evaluate_last: bool = False) -> Trained:
        """Take ``steps`` (at most ``steps_per_call``) steps, and evaluate where that is due.

        Args:
            best: of the objective, so far; the state at an evaluation that is better is kept.
            evaluate_last: evaluate after the last step, due or not.
        """
        before = self.waited
        try:
            call = self._call(steps, best, evaluate_last)
        except tf.errors.UnimplementedError as error:
            if self.compilation.mode == "gradients":  # which are compiled in the first step
                raise self._refused(error) from error
            raise
        rows = call.rows[: call.steps]
        evaluations = [
            (int(step), self._named(values)) for step, *values in call.evaluations[: call.count]
        ]
        kept = int(call.kept) if call.kept >= 0 else None
        waited = self.waited - before
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            failure = self._failure(rows[bad[0]], call.first + int(bad[0]) + 1, call.first, steps)
            return Trained(rows[: bad[0]], evaluations, kept, failure, waited)
        if call.last != call.first + steps:
            raise TrainingError(
                f"{steps} steps were asked for and the step counter moved from {call.first} to "
                f"{call.last}"
            )
        outside = self.validation if self._inner.validation is None else None
        evaluating = len(evaluations) * self.evaluation_seconds
        if outside and (evaluate_last or call.last % outside.every == 0):
            begun = time.perf_counter()
            evaluations = [(int(call.last), self.evaluate(outside.feed))]
            evaluating = time.perf_counter() - begun
        return Trained(rows, evaluations, kept, waited=waited, evaluating=evaluating)

    def most_from(self, step: int) -> int:
        """Steps that a call may take from ``step`` on."""
        return self.feed.most_from(step) or self.steps_per_call

    @property
    def waited(self) -> float:
        """Seconds for which training has waited for data."""
        return self.feed.waited if isinstance(self.feed, StreamFeed) else 0.0

    def close(self) -> None:
        """Read no more data."""
        if isinstance(self.feed, StreamFeed):
            self.feed.close()

    def evaluate(self, feed: Feed) -> dict[str, float]:
        """Each metric over every example of the split, with the average if kept."""
        if isinstance(feed, StreamFeed):
            return self._evaluate_stream(feed)
        if self.validation is not None and feed is self.validation.feed:
            # In the graph that does so in training, so that it comes out the same to the bit.
            _, *values = self._call(0, evaluate_last=True).evaluations[0]
            return self._named(values)
        add_up, values = self._pass_over(feed)
        assert isinstance(feed, ResidentFeed)
        ends = tf.constant(0), tf.constant(feed.evaluation_steps)
        sums = add_up(feed.data, *ends, self._evaluation(feed).nothing())
        return self._named(values(sums).numpy())

    def _evaluate_stream(self, feed: StreamFeed) -> dict[str, float]:
        add_up, values = self._pass_over(feed)
        sums = self._evaluation(feed).nothing()
        for chunk in feed.in_stored_order():
            last = min(chunk.first + feed.steps, feed.evaluation_steps)
            sums = add_up(chunk.data, tf.constant(chunk.first), tf.constant(last), sums)
        return self._named(values(sums).numpy())

    def _pass_over(self, feed: Feed) -> tuple[Any, Any]:
        """What adds up batches, and what makes metrics of all: the same graphs for each feed, so
        that the same numbers come out."""
        if feed.name not in self._evaluations:
            # By XLA only on the way: it takes longer to compile than one pass over a split.
            on_the_way = self.validation is not None and feed is self.validation.feed
            compile_it = (on_the_way and self.compilation.mode == "loop") or None
            evaluation = self._evaluation(feed)
            self._evaluations[feed.name] = tuple(
                tf.function(function, jit_compile=compile_it, autograph=False)
                for function in (evaluation.sums, evaluation.values)
            )
        found: tuple[Any, Any] = self._evaluations[feed.name]
        return found

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Inside, the model holds the weights that are evaluated and exported."""
        return self.average.applied() if self.average else nullcontext()

    def _call(self, steps: int, best: float | None = None, evaluate_last: bool = False) -> Call:
        found = self._loop(*self._arguments(steps, best, evaluate_last))
        return Call(*(value.numpy() for value in found))

    def _arguments(
        self, steps: int, best: float | None = None, evaluate_last: bool = False
    ) -> list[tf.Tensor]:
        count, seed = tf.constant(steps, tf.int64), tf.constant(self.seed, tf.int64)
        so_far = tf.constant(math.nan if best is None else best, tf.float64)
        rate = tf.constant(self.learning_rate, tf.float32)
        orders, data = self._data(steps, count, seed)
        return [count, orders, data, so_far, tf.constant(evaluate_last), seed, rate]

    def _data(self, steps: int, count: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """In which order what is visited, for a call of so many steps."""
        if isinstance(self.feed, StreamFeed):
            feed = self.feed
            chunk = feed.chunk(self.current_step, self.seed) if steps else feed.idle()
            return tf.constant(chunk.first, tf.int64), chunk.data
        assert isinstance(self.feed, ResidentFeed)
        return self._orders(count, seed), self.feed.data

    def program(self) -> str:
        """What XLA has made of the loop, in its own language (HLO)."""
        program = self._loop.experimental_get_compiler_ir(*self._arguments(0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has another way now, which needs a seed
            device = self.strategy.extended.worker_devices[0]
            return str(program(stage="optimized_hlo", device_name=device))

    def _seconds(self, evaluate: bool) -> float:
        """Of a call that takes no step."""
        begun = time.perf_counter()
        self._call(0, evaluate_last=evaluate)
        return time.perf_counter() - begun

    def _refused(self, error: tf.errors.OpError) -> ConfigError:
        return ConfigError(
            f"trainer.compile={self.compilation.mode}: XLA refuses the model: {_said(error)}. Use "
            "trainer.compile=auto, which does without XLA there."
        )

    def _named(self, values: Any) -> dict[str, float]:
        return dict(zip(self.task.metrics, map(float, values), strict=True))

    def _failure(self, row: np.ndarray, step: int, first: int, steps: int) -> str:
        named = zip(self.columns, row, strict=True)
        values = ", ".join(f"{name}={value:g}" for name, value in named if not np.isfinite(value))
        return (
            f"training is not finite at step {step} (the call ran steps {first + 1} to "
            f"{first + steps}): {values}. The last checkpoint is from before it. Lower "
            "optimizer.learning_rate, set trainer.clip_norm=1.0, or look at the data."
        )

    def _evaluation(self, feed: Feed) -> Evaluation:
        return Evaluation(
            self.strategy, self.model, self.task, feed, self.preprocess, self.evaluated_weights
        )

    def _make_loop(self) -> None:
        if isinstance(self.feed, ResidentFeed):
            # Not within what XLA compiles: it sorts three times as slowly as TensorFlow does.
            self._orders = tf.function(
                self._inner.orders,
                autograph=False,
                input_signature=[tf.TensorSpec([], tf.int64)] * 2,
            )
        compile_it = self.compilation.mode == "loop" or None
        self._loop = tf.function(self._inner, jit_compile=compile_it, autograph=False)


def _has_variables(part: Any) -> bool:
    return isinstance(part, tf.Module) and bool(part.variables)


def _said(error: tf.errors.OpError) -> str:
    """The line that says why, which TensorFlow may put after some of its own."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    idle = ("Graph execution error", "Detected at", "<stack", "[[")
    lines = [line for line in lines if line and not line.startswith(idle)]
    return (lines or [type(error).__name__])[0][:200].rstrip(".")
