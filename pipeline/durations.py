"""Lengths of training as people say them: ``30 epochs``, ``500 steps``, ``10 percent``.

Pure Python, so that a config is checked before TensorFlow loads. Whoever knows how many steps an
epoch has turns a ``Duration`` into steps with ``steps``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from pipeline.errors import ConfigError, nearest

UNITS = ("epochs", "steps", "percent")

# The exponent is short: Fraction("1e999999999") would fill the memory.
_NUMBER = r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?"
_FORM = re.compile(rf"\s*({_NUMBER})\s*((?:[^\s0-9].*?)?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Duration:
    """An amount and its unit: ``epochs``, ``steps`` or ``percent`` (of the whole training)."""

    amount: Fraction
    unit: str

    @classmethod
    def parse(cls, text: object, percent: bool = True) -> Duration:
        """Read ``text``, such as ``"30 epochs"``.

        Args:
          text: number and unit; the unit in singular or plural. Epochs and percent may have a
            fraction (``0.5 epochs``), steps may not.
          percent: False where there is nothing yet to be a percent of.

        Raises:
          ConfigError: ``text`` has no unit, an unknown one, or is not a positive length.
        """
        said = str(text)
        form = _FORM.fullmatch(said)
        if form is None:
            raise ConfigError(f"{text!r} is not a length; {_advice(percent)}")
        number, word = form.groups()
        amount, shown = Fraction(number), number.lstrip("+")
        if not word:
            raise ConfigError(
                f"{text!r} has no unit; write '{shown} epochs' or '{shown} steps'"
                if amount > 0
                else f"{text!r} is not a length; {_advice(percent)}"
            )
        unit = _unit(word, said, shown, percent)
        if amount <= 0:
            raise ConfigError(f"{text!r} is not positive; {_advice(percent)}")
        if unit == "steps" and amount.denominator != 1:
            whole = max(1, round(amount))
            raise ConfigError(f"{text!r} is not a whole number of steps; write '{whole} steps'")
        if unit == "percent" and not percent:
            raise ConfigError(
                f"{text!r} is a percent of the training's own length, which this sets; "
                f"{_advice(percent)}"
            )
        if unit == "percent" and amount > 100:
            raise ConfigError(f"{text!r} is more than the whole; write at most '100 percent'")
        return cls(amount, unit)

    def steps(self, steps_per_epoch: int, total_steps: int) -> int:
        """This length in optimizer steps, rounded half up, never less than 1.

        Args:
          steps_per_epoch: optimizer steps in one pass over the training split.
          total_steps: optimizer steps of the whole training, which a percent refers to.
        """
        whole = {
            "steps": Fraction(1),
            "epochs": Fraction(steps_per_epoch),
            "percent": Fraction(total_steps, 100),
        }[self.unit]
        return max(1, floor(self.amount * whole + Fraction(1, 2)))

    def __str__(self) -> str:
        amount = self.amount.numerator if self.amount.denominator == 1 else float(self.amount)
        unit = self.unit.removesuffix("s") if amount == 1 else self.unit
        return f"{amount} {unit}"


def _unit(word: str, said: str, number: str, percent: bool) -> str:
    plural = word if word in UNITS else f"{word}s"
    if plural in UNITS:
        return plural
    near = ["percent"] if word == "%" else nearest(plural.lower(), UNITS, most=1)
    advice = f"did you mean '{number} {near[0]}'?" if near else _advice(percent)
    raise ConfigError(f"{said!r} has an unknown unit {word!r}; {advice}")


def _advice(percent: bool) -> str:
    return "write '30 epochs'" + (", '500 steps' or '10 percent'" if percent else " or '500 steps'")
