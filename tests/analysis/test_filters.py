"""What a filter chooses, and what is said of one that cannot be read."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from pipeline.analysis.filters import parse
from pipeline.errors import ConfigError
from pipeline.tracking.runs import Run


@pytest.fixture
def runs(make_run: Callable[..., Run]) -> dict[str, Run]:
    return {
        "a": make_run(
            {"seed": 0, "optimizer.name": "adam", "optimizer.learning_rate": "1e-3"},
            {"val/accuracy": 0.98, "val/loss": 0.5},
            tags={"note": "it's good", "git.branch": "main"},
        ),
        "b": make_run(
            {"seed": 1, "optimizer.name": "momentum", "optimizer.learning_rate": "0.05"},
            {"val/accuracy": 0.96, "val/loss": math.nan, "odd name": 1.0},
            status="FAILED",
            name="second try",
        ),
        "c": make_run(
            {"seed": 10, "optimizer.name": "adam", "trainer.duration": "5 epochs"},
            {"val/accuracy": 0.97},
            end=None,
            status="RUNNING",
        ),
    }


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("metrics.val/accuracy > 0.97", "a"),
        ("metrics.val/accuracy >= 0.97", "ac"),
        ("metrics.val/accuracy>0.965 and optimizer.name = 'adam'", "ac"),
        ("val/accuracy < 0.97", "b"),
        ("params.optimizer.name == adam", "ac"),
        ("optimizer.name != adam", "b"),
        # Numbers are numbers, however a config writes them.
        ("optimizer.learning_rate = 0.001", "a"),
        ("optimizer.learning_rate = '1e-3'", "a"),
        ("optimizer.learning_rate <= 5e-2", "ab"),
        ("seed < 9", "ab"),
        ("seed in (1, 10)", "bc"),
        ("seed not in (1, 10)", "a"),
        ("optimizer.name in ('adam', momentum)", "abc"),
        # Who lacks the key fits neither = nor !=.
        ("trainer.duration != '6 epochs'", "c"),
        ("not trainer.duration = '6 epochs'", "abc"),
        # NaN is not less, more or equal.
        ("val/loss > 0 or val/loss <= 0 or val/loss != 0", "a"),
        ("name like 'second%'", "b"),
        ("name like 'run _'", "ac"),
        ("name not like 'run%'", "b"),
        ("tags.note = 'it\\'s good'", "a"),
        ('tags.note = "it\'s good"', "a"),
        ("tags.git.branch like m_in", "a"),
        ("metrics.`odd name` = 1", "b"),
        ("`trainer.duration` like '5%'", "c"),
        ("duration = 60", "ab"),
        ("start >= '2027-01-15T08:00:02'", "bc"),
        ("status = FINISHED OR status = 'RUNNING'", "ac"),
        ("experiment = digits and run_id like '00000002%'", "b"),
        # `and` binds closer than `or`, `not` closer than `and`.
        ("seed = 0 or seed = 1 and status = RUNNING", "a"),
        ("(seed = 0 or seed = 10) and status = RUNNING", "c"),
        ("not seed = 0 and not (status = FAILED or seed = 3)", "c"),
        ("not not seed=0", "a"),
    ],
)
def test_a_filter_chooses(text: str, chosen: str, runs: dict[str, Run]) -> None:
    fits = parse(text, runs.values())
    assert "".join(name for name, run in runs.items() if fits(run)) == chosen


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ("", "expected a key, such as", 0),
        ("seed", "expected one of = != > >= < <=, `in` or `like` after seed.", 4),
        ("seed >", "expected a value", 6),
        ("seed = and", "expected a value", 7),
        ("seed = 0 and", "expected a key", 12),
        ("seed = 0 seed = 1", "expected `and`, `or` or the end", 9),
        ("trainer.duration = 5 epochs", "A value that holds a space is quoted.", 21),
        ("(seed = 0", "expected `)`.", 9),
        ("seed = 0)", "expected `and`, `or` or the end.", 8),
        ("seed in 0, 1", "expected `(`.", 8),
        ("seed in (0 1)", "expected `)`.", 11),
        ("seed not = 0", "expected `in` or `like` after seed.", 9),
        ("optimizer.name = 'adam", "this ' is not closed.", 17),
        ("seed ! 0", "expected one of", 5),
        ("= 0", "expected a key", 0),
        ("sed = 0", "none of the runs has 'sed'. Did you mean 'seed'?", 0),
        ("seed = 0 and optimizer.nam = adam", "Did you mean 'optimizer.name'?", 13),
        ("metrics.val/acuracy > 0", "Did you mean 'val/accuracy'?", 0),
        ("params.learning_rate = 0", "Did you mean 'optimizer.learning_rate'?", 0),
        (
            "tags.git.brnch = main",
            "none of the runs has the tag 'git.brnch'. Did you mean 'git.b",
            0,
        ),
        ("git.branch = main", "Did you mean 'tags.git.branch'?", 0),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(
    text: str, problem: str, at: int, runs: dict[str, Run]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, runs.values())
    lines = str(caught.value).split("\n")
    assert problem in lines[0]
    assert lines[1:] == [f"  {text}", "  " + " " * at + "^"]
