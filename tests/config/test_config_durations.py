"""Durations: what is understood, what it is in steps, and what is refused in which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durations import UNITS, Duration
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("30 epochs", 30 * 45),
        ("1 epoch", 45),
        ("1epoch", 45),
        ("  500   steps ", 500),
        ("1 step", 1),
        ("1e3 steps", 1000),
        ("10 percent", 135),
        ("0.1 percent", 1),
        ("0.5 epochs", 23),
        ("0.001 epochs", 1),
        ("100 percent", 1350),
    ],
)
def test_a_duration_is_a_number_of_steps(text: str, steps: int) -> None:
    assert Duration.parse(text).steps(steps_per_epoch=45, total_steps=1350) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", "'30' has no unit; write '30 epochs' or '30 steps'"),
        (30, "30 has no unit; write '30 epochs' or '30 steps'"),
        ("0 steps", "'0 steps' is not positive; write '30 epochs', '500 steps' or '10 percent'"),
        ("-3 epochs", "'-3 epochs' is not positive"),
        ("3 epoches", "'3 epoches' has an unknown unit 'epoches'; did you mean '3 epochs'?"),
        ("3 Steps", "has an unknown unit 'Steps'; did you mean '3 steps'?"),
        ("10%", "'10%' has an unknown unit '%'; did you mean '10 percent'?"),
        ("3 fortnights", "unknown unit 'fortnights'; write '30 epochs', '500 steps' or '10 per"),
        ("1.5 steps", "'1.5 steps' is not a whole number of steps; write '2 steps'"),
        ("120 percent", "'120 percent' is more than the whole; write at most '100 percent'"),
        ("", "'' is not a length"),
        ("epochs", "'epochs' is not a length"),
        (None, "None is not a length"),
        ("nan epochs", "'nan epochs' is not a length"),
        ("1e999999999 steps", "'1e999999999 steps' has an unknown unit 'e999999999 steps'"),
    ],
)
def test_what_is_no_duration_is_refused(text: object, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Duration.parse(text)
    assert message in str(refused.value)


def test_the_length_of_training_is_no_percent_of_itself() -> None:
    with pytest.raises(ConfigError, match="a percent of the training's own length"):
        Duration.parse("10 percent", percent=False)


@given(st.integers(1, 10**6), st.sampled_from(UNITS), st.integers(1, 10**4))
def test_what_is_printed_is_read_again(amount: int, unit: str, epoch: int) -> None:
    duration = Duration.parse(f"{min(amount, 100)} {unit}")
    again = Duration.parse(str(duration))
    assert again == duration
    assert again.steps(epoch, 10 * epoch) >= 1


# No categories are asked for: to know those, Hypothesis works for two seconds, once a checkout.
@given(st.text(st.characters(max_codepoint=0xD7FF, exclude_categories=()), max_size=30))
def test_any_text_is_a_duration_or_an_answer(text: str) -> None:
    answer = ""
    try:
        amount = Duration.parse(text).amount
    except ConfigError as refused:
        amount, answer = 0, str(refused)
    assert amount > 0 or "write" in answer or "did you mean" in answer
