"""conf/task: each task with the objective that fits it, and its options checked before it loads."""

from __future__ import annotations

import pytest

from pipeline import preflight
from pipeline.composing import compose
from pipeline.errors import ConfigError

OBJECTIVES = {
    "classification": ("val/accuracy", "max"),
    "multi_label": ("val/f1", "max"),
    "regression": ("val/rmse", "min"),
    "language_model": ("val/loss", "min"),
    "reconstruction": ("val/loss", "min"),
}


@pytest.mark.parametrize("task", OBJECTIVES)
def test_a_task_brings_an_objective_and_the_command_line_wins(task: str) -> None:
    cfg = compose("train", [f"task={task}"])
    preflight.check(cfg)
    assert (cfg.objective.metric, cfg.objective.mode) == OBJECTIVES[task]
    cfg = compose("train", [f"task={task}", "objective.metric=train/loss", "objective.mode=min"])
    preflight.check(cfg)
    assert (cfg.objective.metric, cfg.objective.mode) == ("train/loss", "min")


def test_the_objective_is_one_of_the_metrics_that_are_asked_for() -> None:
    preflight.check(compose("train", ["task.metrics=[top5]", "objective.metric=val/top5"]))
    with pytest.raises(ConfigError, match="not measure 'val/accuracy'. Valid: val/loss, val/top5"):
        preflight.check(compose("train", ["task.metrics=[top5]"]))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["task=regression", "task.metrics=[rmse,r3]"],
            "task.metrics.1: the text 'r3' is given; 'mae' or 'rmse' or 'r2' is expected",
        ),
        (
            ["task=regression", "task.loss=mean"],
            "task.loss: the text 'mean' is given; 'mse' or 'mae' or 'huber' is expected",
        ),
        (
            ["task.class_weights=even"],
            "task.class_weights: the text 'even' is given; a list or a mapping or 'balanced' or "
            "null is expected",
        ),
        (
            ["task.class_weights={cat:two}"],
            "task.class_weights.cat: the text 'two' is given; a number is expected",
        ),
    ],
)
def test_options_are_checked_before_anything_loads(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preflight.check(compose("train", overrides))
    assert said in str(caught.value)
