"""Ranges of numbers, written as mathematics writes them: ``[0, 1)``, ``(0, inf)``."""

from __future__ import annotations


def outside(value: float, interval: str) -> bool:
    """Whether ``value`` is not in ``interval``. NaN is in none."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return not (above and below) or value in (float("inf"), float("-inf"))


def describe(interval: str) -> str:
    """The range in words: ``at least 1``, ``above 0``, ``in [0, 1)``."""
    low, high = (end.strip() for end in interval[1:-1].split(","))
    if high != "inf":
        return f"in {interval}"
    return f"at least {low}" if interval[0] == "[" else f"above {low}"
