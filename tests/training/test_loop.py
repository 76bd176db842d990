"""The outer loop against a stand-in for the trainer: which boundaries it stops at, what it does
there, and that a loop that is stopped and continued gives the same points."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import TrainingError
from pipeline.training.columns import Columns
from pipeline.training.metrics import Mean
from pipeline.training.plan import Pace, Plan
from pipeline.training.progress import Progress
from pipeline.training.trainer import Trained


class CountingTrainer:
    """Takes steps that cost nothing; step s has loss s and gradient norm 1.

    Args:
        scores: of the evaluations, one after the other; then 0.5.
        keeps: the state at the best evaluation of a call, so that calls go beyond them.
    """

    columns = Columns({"loss": Mean(), "accuracy": Mean()}, (), batch=1)

    def __init__(self, step: int = 0, keeps: bool = False) -> None:
        self.current_step = step
        self.keeps_best = keeps
        self.calls: list[int] = []
        self.plan = _plan()
        self.scores: Iterator[float] = iter(())

    def most_from(self, step: int) -> int:
        return 1000

    def train(self, steps: int, best: float | None = None, evaluate_last: bool = False) -> Trained:
        self.calls.append(steps)
        first = self.current_step
        self.current_step += steps
        taken = range(first + 1, first + steps + 1)
        rows = np.array([[s, 0.0, 1.0, 0.1] for s in taken], "f4")
        evaluations, kept, progress = [], None, Progress(best)
        for step in taken:
            if step % self.plan.evaluate_every == 0 or (evaluate_last and step == taken[-1]):
                score = next(self.scores, 0.5)
                evaluations.append((step, {"accuracy": score}))
                if progress.observe(step, score, self.plan) and self.keeps_best:
                    kept = step
        return Trained(rows, evaluations, kept)


class Recorder:
    """Keeps the deterministic points, and what was saved."""

    def __init__(self) -> None:
        self.points: list[tuple[int, str, float]] = []
        self.saved: list[tuple[int, bool]] = []
        self.due: list[int] = []
        self.kept: list[int] = []
        self.metrics: dict[int, Any] = {}
        self.progress: dict[str, Any] = {}
        self.order: list[str] = []

    def log(self, metrics, step: int) -> None:
        self.order.append("log")
        deterministic = {k: v for k, v in metrics.items() if not k.startswith("speed/")}
        self.points += [(step, k, v) for k, v in sorted(deterministic.items())]

    def save(self, step: int, metrics, progress, *, best, due=False, kept=False) -> None:
        self.order.append("save")
        self.saved.append((step, best))
        self.due += [step] if due else []
        self.kept += [step] if kept else []
        self.metrics[step] = metrics
        self.progress = json.loads(json.dumps(progress))  # as a manifest keeps it

    def show(self, step: int, metrics) -> None:
        self.order.append("show")


def _plan(**changes: Any) -> Plan:
    values = {
        "total": 60,
        "evaluate_every": 20,
        "checkpoint_every": 30,
        "log_every": 7,
        "steps_per_epoch": 10,
        "batch_size": 1,
    } | changes
    return Plan(**values)


def _run(
    plan,
    trainer=None,
    progress=None,
    scores=(),
    stop=lambda: False,
    keeps=False,
    recorder=None,
    give_up=None,
    samples=None,
):
    from pipeline.training import loop

    trainer, recorder = trainer or CountingTrainer(keeps=keeps), recorder or Recorder()
    trainer.plan, trainer.scores = plan, iter(scores)
    reason = loop.run(
        trainer, plan, progress or Progress(), recorder, stop, give_up=give_up, samples=samples
    )
    return reason, trainer, recorder


def test_no_call_steps_over_an_event() -> None:
    _, trainer, recorder = _run(_plan())
    ends = set(np.cumsum(trainer.calls))
    assert {20, 30, 40, 60} <= ends
    evaluated = [step for step, key, _ in recorder.points if key == "val/accuracy"]
    assert evaluated == [20, 40, 60]


def _fast(**changes: Any) -> Plan:
    """Whose calls may go beyond many periods: two seconds are as nothing here."""
    return _plan(**{"total": 600, "checkpoint_every": 10, "checkpoint_seconds": 60.0} | changes)


@pytest.mark.parametrize("keeps", [False, True])
def test_calls_beyond_evaluations_log_the_same(keeps: bool) -> None:
    scores = [0.5, 0.6, 0.6, 0.7, 0.1] * 6
    _, trainer, found = _run(_fast(), scores=scores, keeps=keeps)
    _, _, expected = _run(_plan(total=600, checkpoint_every=10), scores=scores)
    assert found.points == expected.points
    assert (len(trainer.calls) < 10) is keeps
    assert found.saved[-1] == (600, False)


def test_best_of_a_call_is_saved_as_it_was_kept() -> None:
    """The third call sees the evaluations of steps 20 to 150."""
    _, trainer, recorder = _run(_fast(), scores=[0.5, 0.4, 0.9, 0.7, 0.8], keeps=True)
    assert np.cumsum(trainer.calls).tolist()[:3] == [1, 10, 150]
    assert recorder.kept == [60]
    assert (60, True) in recorder.saved
    assert recorder.metrics[60] == {"val/accuracy": 0.9}
    assert recorder.saved[:2] == [(10, False), (60, True)]


def test_best_at_the_end_of_a_call_is_the_present_state() -> None:
    _, _, recorder = _run(_fast(total=160), scores=[0.1] * 7 + [0.9], keeps=True)
    assert recorder.saved[-1] == (160, True)
    assert recorder.kept == [20]


def test_call_goes_no_further_than_patience() -> None:
    scores = [0.9] + [0.1] * 29
    reason, trainer, _ = _run(_fast(patience=50), scores=scores, keeps=True)
    assert (reason, trainer.current_step) == ("early_stopping", 80)
    better = [0.1 * s for s in range(30)]
    reason, trainer, _ = _run(_fast(patience=50), scores=better, keeps=True)
    assert (reason, trainer.current_step) == ("finished", 600)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_calls_end_where_a_save_is_due_unless_another_follows_at_once(seconds: float) -> None:
    pace = Pace()
    pace.took(100, 1.0)
    plan = _plan(total=10_000, checkpoint_every=30, checkpoint_seconds=seconds, stop_within=1e9)
    assert plan.call_from(0, 0, pace, keeps_best=True) == (90 if seconds else 30)
    assert plan.call_from(45, 0, pace, keeps_best=True) == (75 if seconds else 15)
    assert replace(plan, total=70).call_from(45, 0, pace, keeps_best=True) == (
        25 if seconds else 15
    )


def test_call_takes_no_longer_than_half_of_the_time_to_answer_a_signal() -> None:
    pace = Pace()
    pace.took(100, 1.0)
    plan = _plan(total=10_000, checkpoint_every=10_000, stop_within=1.0)
    assert plan.call_from(0, 0, pace, keeps_best=True) == 50
    assert Pace().within(1e9) == 1


def test_logged_windows_are_means_over_their_steps() -> None:
    _, _, recorder = _run(_plan())
    losses = {step: value for step, key, value in recorder.points if key == "train/loss"}
    assert losses[7] == pytest.approx(4.0)  # mean of 1 … 7
    assert losses[14] == pytest.approx(11.0)
    assert losses[60] == pytest.approx(58.5)  # what is left at the end: 57 … 60
    assert list(losses) == [7, 14, 21, 28, 35, 42, 49, 56, 60]


def test_steps_per_call_bounds_every_call() -> None:
    _, trainer, _ = _run(_plan(total=500, evaluate_every=500, steps_per_call=9))
    assert max(trainer.calls) == 9


def test_best_is_saved_when_it_improves_and_periods_are_kept() -> None:
    _, _, recorder = _run(_plan(), scores=[0.5, 0.4, 0.6])
    assert recorder.saved == [(20, True), (30, False), (60, True)]
    assert recorder.due == [60]
    best = [(step, v) for step, key, v in recorder.points if key == "best/val/accuracy"]
    assert best == [(20, 0.5), (60, 0.6)]


def test_nan_is_never_the_best() -> None:
    progress = Progress()
    _run(_plan(), progress=progress, scores=[float("nan"), 0.3, float("inf")])
    assert (progress.best, progress.best_step) == (0.3, 40)


def test_a_loss_is_minimised() -> None:
    progress = Progress()
    _run(_plan(maximise=False), progress=progress, scores=[0.5, 0.2, 0.3])
    assert (progress.best, progress.best_step) == (0.2, 40)


def test_early_stopping_ends_after_its_patience_with_a_save() -> None:
    reason, trainer, recorder = _run(_plan(total=200, patience=40), scores=[0.9, 0.1, 0.1, 0.1])
    assert (reason, trainer.current_step) == ("early_stopping", 60)
    assert recorder.saved[-1] == (60, False)


@pytest.mark.parametrize("keeps", [False, True])
def test_rungs_are_asked_at_once_each_and_the_last_no_ends_the_run(keeps: bool) -> None:
    asked: list[tuple[int, float | None]] = []

    def give_up(step: int, best: float | None) -> str | None:
        asked.append((step, best))
        return "too low" if step == 120 else None

    plan = _fast(rungs=(40, 120, 360))
    scores = [0.2, 0.5, 0.4, 0.9, 0.1, 0.1] * 5
    reason, trainer, recorder = _run(plan, scores=scores, keeps=keeps, give_up=give_up)
    assert (reason, trainer.current_step) == ("pruned", 120)
    assert asked == [(40, 0.5), (120, 0.9)]
    assert recorder.saved[-1][0] == 120
    assert recorder.progress["pruned"] == "too low"


def test_run_that_was_killed_after_it_was_given_up_does_not_go_on() -> None:
    progress = Progress(best=0.9, best_step=20, pruned="too low")
    reason, trainer, _ = _run(_plan(rungs=(40,)), CountingTrainer(40), progress)
    assert (reason, trainer.calls) == ("pruned", [])


def test_patience_shorter_than_the_evaluations_waits_for_them() -> None:
    reason, trainer, _ = _run(_plan(total=200, patience=5, checkpoint_every=15), scores=[0.5, 0.4])
    assert (reason, trainer.current_step) == ("early_stopping", 40)


def test_run_that_was_killed_after_it_had_stopped_early_does_not_go_on() -> None:
    progress = Progress(best=0.9, best_step=20)
    reason, trainer, _ = _run(_plan(total=200, patience=40), CountingTrainer(60), progress)
    assert (reason, trainer.calls) == ("early_stopping", [])


def test_min_delta_does_not_count_small_gains() -> None:
    reason, trainer, _ = _run(
        _plan(total=200, patience=40, min_delta=0.05), scores=[0.9, 0.91, 0.92, 0.93]
    )
    assert (reason, trainer.current_step) == ("early_stopping", 60)


def test_save_comes_last_at_a_boundary() -> None:
    _, _, recorder = _run(_plan())
    at_20 = recorder.order[: recorder.order.index("save") + 1]
    assert at_20.index("save") == len(at_20) - 1
    assert at_20[-2:] == ["show", "save"]


@pytest.mark.parametrize("stop_at", [1, 11, 25, 30, 47])
def test_stopped_and_continued_gives_the_points_of_one_that_was_not(stop_at: int) -> None:
    scores = [0.5, 0.4, 0.6]
    _, _, whole = _run(_plan(steps_per_call=5), scores=scores)

    trainer = CountingTrainer()
    reason, _, first = _run(
        _plan(steps_per_call=5),
        trainer,
        scores=scores,
        stop=lambda: trainer.current_step >= stop_at,
    )
    assert reason == "stopped"
    assert first.saved[-1][0] == trainer.current_step
    done = sum(key == "val/accuracy" for _, key, _ in first.points)
    _, _, second = _run(
        _plan(steps_per_call=5),
        CountingTrainer(trainer.current_step),
        Progress(**first.progress),
        scores[done:],
    )
    assert first.points + second.points == whole.points


def test_extended_run_logs_what_one_that_was_longer_from_the_start_logs() -> None:
    """The end at 32 cuts a window of 7 steps, which stays open for the run that is extended."""
    _, _, longer = _run(_plan())
    _, _, first = _run(_plan(total=32))
    _, _, then = _run(_plan(), CountingTrainer(32), Progress(**first.progress))
    at_its_first_end = [point for point in first.points if point[0] == 32]
    assert {key for _, key, _ in at_its_first_end} >= {"train/loss", "val/accuracy"}
    extended = sorted({*first.points, *then.points} - {*at_its_first_end})
    assert extended == sorted(longer.points)


def test_checkpoint_has_only_what_was_measured_at_its_step() -> None:
    """Else a metric of an earlier step would be recorded for one at which nobody evaluated."""
    _, _, recorder = _run(_plan())
    assert {step: sorted(metrics) for step, metrics in recorder.metrics.items()} == {
        20: ["val/accuracy"],
        30: [],
        60: ["train/accuracy", "train/gradient_norm", "train/learning_rate", "train/loss"]
        + ["val/accuracy"],
    }


def test_failure_ends_the_loop_after_its_finite_steps_are_logged() -> None:
    class Broken(CountingTrainer):
        def train(self, steps: int, *arguments: Any, **options: Any) -> Trained:
            trained = super().train(steps, *arguments, **options)
            return replace(trained, failure="not finite at step 18") if steps > 1 else trained

    with pytest.raises(TrainingError, match="step 18"):
        _run(_plan(log_every=2), broken := Broken(), recorder=(recorder := Recorder()))
    steps = [step for step, key, _ in recorder.points if key == "train/loss"]
    assert steps == list(range(2, broken.current_step + 1, 2))
    assert recorder.saved == []


class Samples:
    """Due for the first time, then once more after ``until`` steps; notes the steps."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.taken: list[int] = []
        self.trainer: Any = None

    @property
    def due(self) -> bool:
        at = (0, self.until)[len(self.taken) : len(self.taken) + 1]
        return bool(at) and self.trainer.current_step >= at[0]

    def take(self, step: int) -> None:
        assert self.trainer.current_step == step  # the weights are those that were evaluated
        self.taken.append(step)


def test_calls_end_at_an_evaluation_where_samples_are_due() -> None:
    samples, trainer = Samples(until=150), CountingTrainer(keeps=True)
    samples.trainer = trainer
    _, trainer, recorder = _run(_fast(), trainer, samples=samples)
    first, second, last, *more = samples.taken
    assert not more
    assert (first, last) == (20, 600)
    assert second % 20 == 0
    assert second >= 150
    _, without, plain = _run(_fast(), keeps=True)
    assert recorder.points == plain.points
    assert len(trainer.calls) > len(without.calls)
