"""What the loop remembers between calls: the best so far, and the window that is being averaged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.training.columns import Columns
from pipeline.training.plan import Plan

Metrics = dict[str, float]


@dataclass
class Progress:
    """What the loop remembers between calls. Saved in every checkpoint, so that a resumed
    run goes on as if it had never stopped, in the middle of a logging window too."""

    best: float | None = None
    best_step: int = 0
    window: list[float] = field(default_factory=list)  # sums since the last logged point
    window_steps: int = 0
    latest: Metrics = field(default_factory=dict)
    pruned: str | None = None  # why somebody has given the run up

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
        self, rows: np.ndarray, first: int, columns: Columns, plan: Plan
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
                point = columns.point(self.window, self.window_steps, rows[done - 1])
                if step == due:  # at the end it stays open: a run that is extended goes on in it
                    self.window, self.window_steps = [], 0
                yield step, point

    def state(self) -> dict[str, Any]:
        """As JSON holds it; floats are written so that they read back as the same bits."""
        return asdict(self)
