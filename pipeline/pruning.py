"""Asynchronous successive halving: a trial that is not among the best so far stops itself.

Rule of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020), as trials that
cannot be paused follow it: at each rung a trial goes on if it is among the best ``1/factor`` of
the trials that have come to this rung by then, or the best where they are fewer than ``factor``.
Trials know of each other by MLflow alone, so any launcher will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.tracking.tracker import Tracker
    from pipeline.training.plan import Plan


def places(others: int, factor: int) -> int:
    """How many go on of a trial and ``others``; at least one."""
    return max(1, (others + 1) // factor)


def rank(value: float, others: Sequence[float], maximise: bool) -> int:
    """1 for the best. Of equals all have the best rank."""
    better = [other for other in others if (other > value if maximise else other < value)]
    return len(better) + 1


class Halving:
    """What a trial asks at each rung of its plan."""

    def __init__(self, tracker: Tracker, sweep: str, plan: Plan, factor: int) -> None:
        self.tracker = tracker
        self.sweep = sweep
        self.plan = plan
        self.factor = factor

    def __call__(self, step: int, best: float | None) -> str | None:
        """Why the trial should stop at ``step`` with ``best`` so far; ``None``: it goes on.

        Raises:
            StoreError: the store does not answer.
        """
        from pipeline.tracking import sweeps

        number = self.plan.rungs.index(step) + 1
        key = f"sweep/rung/{number}"
        where = f"at rung {number} of {len(self.plan.rungs)} (step {step} of {self.plan.total})"
        if best is None:
            return f"{where}: {self.plan.metric} has had no finite value"
        self.tracker.log({key: best}, step)
        others = [
            run.metrics[key]
            for run in sweeps.trials(self.tracker.store, self.sweep)
            if key in run.metrics and run.run_id != self.tracker.run_id
        ]
        most, mine = places(len(others), self.factor), rank(best, others, self.plan.maximise)
        if mine <= most:
            return None
        return (
            f"{where}: {self.plan.metric} {best:.4g} is number {mine} of {len(others) + 1}, and "
            f"{'the best' if most == 1 else f'{most}'} go{'es' if most == 1 else ''} on"
        )
