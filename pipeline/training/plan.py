"""How long a run is, how often something is due in it, and so how far one call may go."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How long and how often, in optimizer steps.

    Attributes:
        steps_per_call: most steps of one call into the graph.
        stop_within: seconds until a signal is answered; two calls fit in.
        checkpoint_seconds: least seconds between two saves that nothing forces; 0: each is made.
        rungs: steps at which somebody may give the run up.
    """

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
    stop_within: float = 5.0
    checkpoint_seconds: float = 0.0
    rungs: tuple[int, ...] = ()

    def call_from(self, step: int, best_step: int, pace: Pace, keeps_best: bool) -> int:
        """How many steps the call that begins at ``step`` takes.

        It goes no further than to where somebody has to decide something: to the end, to where
        patience ends, to a rung, and to a save. Saves that would follow each other within
        ``checkpoint_seconds`` are left out, but for the last. Evaluations are made on the way where
        the trainer ``keeps_best``, which is the state at the best of them.
        """
        end = min(self.total, step + min(self.steps_per_call, pace.within(self.stop_within / 2)))
        if not keeps_best:
            end = min(end, _after(step, self.evaluate_every))
        if self.patience is not None:
            over = -(-(best_step + self.patience) // self.evaluate_every) * self.evaluate_every
            end = min(end, max(over, _after(step, self.evaluate_every)))
        end = min([end, *(rung for rung in self.rungs if rung > step)])
        save = _after(step, self.checkpoint_every)
        soon = step + pace.within(self.checkpoint_seconds)
        end = min(end, max(save, soon))
        if end >= save:
            forced = end == self.total or end in self.rungs
            end -= 0 if forced else end % self.checkpoint_every
        return end - step


class Pace:
    """How many steps take how long: nobody knows at first, then as the last call did."""

    def __init__(self) -> None:
        self._seconds = math.inf  # a step
        self._most = 1  # since compiling is not the only thing that is slow at first

    def took(self, steps: int, seconds: float) -> None:
        """The last call took ``seconds``."""
        self._seconds, self._most = max(seconds, 1e-9) / steps, 16 * steps

    def within(self, seconds: float) -> int:
        """Steps that fit in so many seconds; at least 1."""
        return max(1, min(self._most, int(seconds / self._seconds)))


def _after(step: int, every: int) -> int:
    """The first multiple of ``every`` after ``step``."""
    return (step // every + 1) * every
