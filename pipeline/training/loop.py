"""The outer loop: when to log, evaluate, save and stop.

An event is a boundary that no call into the graph steps over. What happens there is written down
in ``run``, in order; the save comes last, so a saved step is finite, logged and evaluated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from pipeline.training.trainer import Trainer

Metrics = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How long and how often, in optimizer steps."""

    total: int
    evaluate_every: int
    checkpoint_every: int
    log_every: int
    steps_per_epoch: int
    batch_size: int
    metric: str = "val/accuracy"
    maximise: bool = True
    patience: int | None = None
    min_delta: float = 0.0
    steps_per_call: int = 1000
    stop_within: float = 5.0  # seconds that one call may take

    def next_boundary(self, step: int) -> int:
        """The first step after ``step`` at which something is due."""
        due = [self.total]
        due += [
            (step // every + 1) * every for every in (self.evaluate_every, self.checkpoint_every)
        ]
        return min(due)


@dataclass
class Progress:
    """What the loop remembers between boundaries. Saved in every checkpoint, so that a resumed
    run goes on as if it had never stopped, in the middle of a logging window too."""

    best: float | None = None
    best_step: int = 0
    window: list[float] = field(default_factory=list)  # sums since the last logged point
    window_steps: int = 0
    latest: Metrics = field(default_factory=dict)

    def observe(self, step: int, value: float | None, plan: Plan) -> bool:
        """Take in the objective at ``step``; whether it is the best so far. NaN never is."""
        if value is None or not math.isfinite(value):
            return False
        if self.best is not None:
            gain = value - self.best if plan.maximise else self.best - value
            if gain <= plan.min_delta:
                return False
        self.best, self.best_step = value, step
        return True

    def out_of_patience(self, step: int, plan: Plan) -> bool:
        """Whether the evaluation at ``step`` ends the plan's patience; never between evaluations,
        where nobody has looked."""
        evaluated = step > 0 and step % plan.evaluate_every == 0
        return evaluated and plan.patience is not None and step - self.best_step >= plan.patience

    def windows(
        self, rows: np.ndarray, first: int, columns: Sequence[str], plan: Plan
    ) -> Iterator[tuple[int, Metrics]]:
        """Points to log out of the rows of steps ``first + 1`` onwards, each with its step.

        The sums are taken in float64, step by step, so they do not depend on where calls end.
        """
        rows, done = rows.astype(np.float64), 0
        while done < len(rows):
            step = first + done
            due = (step // plan.log_every + 1) * plan.log_every
            end = min(due - first, len(rows))
            before = self.window or [0.0] * rows.shape[1]
            # Not np.sum, which adds in pairs.
            self.window = np.add.accumulate([before, *rows[done:end]])[-1].tolist()
            self.window_steps += end - done
            done, step = end, first + end
            if step == due or step == plan.total:
                point = self._window_means(rows[done - 1], columns, plan)
                if step == due:  # at the end it stays open: a run that is extended goes on in it
                    self.window, self.window_steps = [], 0
                yield step, point

    def _window_means(self, row: np.ndarray, columns: Sequence[str], plan: Plan) -> Metrics:
        """The means over the window so far, and the last learning rate."""
        examples = self.window_steps * plan.batch_size
        point: Metrics = {}
        for name, total, last in zip(columns, self.window, row, strict=True):
            if name == "learning_rate":
                point["train/learning_rate"] = float(last)
            elif name == "gradient_norm":
                point["train/gradient_norm"] = total / self.window_steps
            else:
                point[f"train/{name}"] = total / examples
        return point

    def state(self) -> dict[str, Any]:
        """As JSON holds it; floats are written so that they read back as the same bits."""
        return asdict(self)


class Recorder(Protocol):
    """Where the loop's results go. The verbs join it to the tracker and the console."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep points of the metric history."""

    def save(
        self, step: int, metrics: Metrics, progress: dict[str, Any], best: bool, due: bool
    ) -> None:
        """Write a checkpoint; unless it is ``due``, a later one may take its place."""

    def show(self, step: int, metrics: Metrics) -> None:
        """Tell a person how it goes."""


def run(
    trainer: Trainer,
    plan: Plan,
    progress: Progress,
    evaluate: Callable[[], Metrics],
    recorder: Recorder,
    stop_requested: Callable[[], bool],
) -> str:
    """Train from where ``trainer`` stands to the end of the plan. Returns why it ended:
    ``finished``, ``early_stopping`` or ``stopped`` (by ``stop_requested``, after a save)."""
    step = trainer.current_step
    if progress.out_of_patience(step, plan):
        return "early_stopping"  # before the process that had decided it was killed
    call = 1
    while step < plan.total:
        boundary = plan.next_boundary(step)
        n = min(boundary - step, call)
        begun = time.perf_counter()
        rows = trainer.train(n)
        call = _next_call(n, time.perf_counter() - begun, plan)

        first, step = step, step + n
        measured: Metrics = {}  # at this very step: what a checkpoint of it may be ranked by
        for at, point in progress.windows(rows, first, trainer.columns, plan):
            recorder.log(point, at)
            progress.latest.update(point)
            if at == step:
                measured = dict(point)
        stopping = stop_requested()
        if step < boundary and not stopping:
            recorder.show(step, progress.latest)
            continue

        improved, results = False, {}
        if step % plan.evaluate_every == 0 or step == plan.total:
            results = evaluate()
            improved = progress.observe(step, (progress.latest | results).get(plan.metric), plan)
            progress.latest.update(results)
            recorder.log(results, step)
            if improved and progress.best is not None:
                recorder.log({f"best/{plan.metric}": progress.best}, step)
            recorder.log(_speed(trainer, plan), step)
        recorder.show(step, progress.latest)

        ending = progress.out_of_patience(step, plan) or step == plan.total or stopping
        if improved or ending or step % plan.checkpoint_every == 0:
            recorder.save(step, measured | results, progress.state(), improved, due=ending)
        if progress.out_of_patience(step, plan) and step < plan.total:
            return "early_stopping"
        if stopping and step < plan.total:
            return "stopped"
    return "finished"


def _next_call(steps: int, seconds: float, plan: Plan) -> int:
    """How many steps the next call may run: a few at first, then what fits in the time allowed."""
    fits = int(steps * plan.stop_within / 2 / max(seconds, 1e-9))
    return max(1, min(plan.steps_per_call, fits, 16 * steps))


def _speed(trainer: Trainer, plan: Plan) -> Metrics:
    """Of the training calls of this process: compilation and evaluation are left out."""
    if not trainer.steps_done:
        return {}
    rate = trainer.steps_done / trainer.seconds
    return {
        "speed/steps_per_second": rate,
        "speed/examples_per_second": rate * plan.batch_size,
        "speed/step_ms": 1000.0 / rate,
    }
