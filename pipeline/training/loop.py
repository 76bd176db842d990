"""The outer loop: when to log, evaluate, save and stop.

A call into the graph goes as far as nobody has to decide anything (``Plan.call_from``). What came
of it is then taken in, evaluation by evaluation, as if it had ended at each. What happens there is
written down in ``run``, in order; the save comes last, so a saved step is finite, logged and
evaluated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from pipeline.errors import TrainingError
from pipeline.training.columns import Columns
from pipeline.training.plan import Pace, Plan
from pipeline.training.progress import Metrics, Progress
from pipeline.training.spent import Spent
from pipeline.training.trainer import Trainer

SPEED_EVERY = 1.0  # seconds between two points of speed


class Recorder(Protocol):
    """Where the loop's results go. The verbs join it to the tracker and the console."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep points of the metric history."""

    def save(
        self,
        step: int,
        metrics: Metrics,
        progress: dict[str, Any],
        *,
        best: bool,
        due: bool = False,
        kept: bool = False,
    ) -> None:
        """Write a checkpoint; unless it is ``due``, a later one may take its place.

        ``kept``: of the state that the trainer has kept, not of the present one.
        """

    def show(self, step: int, metrics: Metrics) -> None:
        """Tell a person how it goes."""


class Samples(Protocol):
    """What the model makes of something, for a person to look at, now and then."""

    @property
    def due(self) -> bool:
        """Whether the next evaluation is to have some."""

    def take(self, step: int) -> None:
        """The weights are those that were evaluated at ``step``."""


def run(
    trainer: Trainer,
    plan: Plan,
    progress: Progress,
    recorder: Recorder,
    stop_requested: Callable[[], bool],
    spent: Spent | None = None,
    give_up: Callable[[int, float | None], str | None] | None = None,
    samples: Samples | None = None,
) -> str:
    """Train from where ``trainer`` stands to the end of the plan. Returns why it ended:
    ``finished``, ``early_stopping``, ``pruned`` (by ``give_up``) or ``stopped`` (by
    ``stop_requested``), each after a save.

    Args:
        spent: is told where the time goes.
        give_up: asked at each rung of the plan, with the step and the best so far; returns why the
            run is not worth going on with.
        samples: where they are due, a call ends at the next evaluation, so that the weights are
            those that were evaluated; and they are taken at the end.
    """
    step = trainer.current_step
    if progress.pruned:
        return "pruned"  # before the process that had decided it was killed
    if progress.out_of_patience(step, plan):
        return "early_stopping"  # before the process that had decided it was killed
    pace, spent = Pace(), spent or Spent()
    while step < plan.total:
        may_go_on = trainer.keeps_best and not (samples and samples.due)
        n = plan.call_from(step, progress.best_step, pace, may_go_on)
        n = min(n, trainer.most_from(step))
        begun = time.perf_counter()
        trained = trainer.train(n, progress.best, evaluate_last=step + n == plan.total)
        seconds = time.perf_counter() - begun
        pace.took(n, seconds)
        spent.on_call(n, seconds, trained.evaluating, trained.waited)

        first, step = step, step + len(trained.rows)
        done, improved, measured = first, False, {}
        for at, means in trained.evaluations:
            results = {f"val/{name}": mean for name, mean in means.items()}
            with spent.on("tracking"):
                rows = trained.rows[done - first : at - first]
                measured = _log(rows, done, trainer.columns, plan, progress, recorder) | results
                progress.latest.update(results)
                improved = progress.observe(at, progress.latest.get(plan.metric), plan)
                if improved and progress.best is not None:
                    results = results | {f"best/{plan.metric}": progress.best}
                recorder.log(results, at)
            done = at
            if at == trained.kept and at < step:
                with spent.on("checkpoint"):
                    recorder.save(at, measured, progress.state(), best=True, kept=True)
        if done < step or not trained.evaluations:
            with spent.on("tracking"):
                rows, improved = trained.rows[done - first :], False
                measured = _log(rows, done, trainer.columns, plan, progress, recorder)
        recorder.show(step, progress.latest)
        if trained.failure:
            raise TrainingError(trained.failure)

        evaluated = bool(trained.evaluations) and done == step
        if samples and evaluated and (samples.due or step == plan.total):
            with spent.on("samples"):
                samples.take(step)
        if give_up is not None and step in plan.rungs and step < plan.total:
            progress.pruned = give_up(step, progress.best)
        stopping, over = stop_requested(), progress.out_of_patience(step, plan)
        ending = step == plan.total or stopping or over or progress.pruned is not None
        if spent.due(SPEED_EVERY) or ending:
            recorder.log(spent.metrics(plan.batch_size), step)
        if improved or ending or step % plan.checkpoint_every == 0:
            with spent.on("checkpoint"):
                recorder.save(step, measured, progress.state(), best=improved, due=ending)
        if progress.pruned:
            return "pruned"
        if over and step < plan.total:
            return "early_stopping"
        if stopping and step < plan.total:
            return "stopped"
    return "finished"


def _log(
    rows: np.ndarray,
    first: int,
    columns: Columns,
    plan: Plan,
    progress: Progress,
    recorder: Recorder,
) -> Metrics:
    """Log what is due in the rows of the steps after ``first``. Returns what was at the last."""
    measured: Metrics = {}  # at that very step: what a checkpoint of it may be ranked by
    for at, point in progress.windows(rows, first, columns, plan):
        recorder.log(point, at)
        progress.latest.update(point)
        if at == first + len(rows):
            measured = dict(point)
    return measured
