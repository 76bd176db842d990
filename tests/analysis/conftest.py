"""Runs as a store gives them, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from pipeline.tracking.runs import Run

OBJECTIVE = {"objective.metric": "val/accuracy", "objective.mode": "max"}


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """``make_run({"seed": 0}, {"val/accuracy": 0.9}, status=…)``: a run that took a minute.

    Its id is its number, in 32 digits; each began a second after the one before.
    """
    numbers = count(1)

    def make(
        params: dict[str, Any] | None = None, metrics: dict[str, float] | None = None, **fields: Any
    ) -> Run:
        number = next(numbers)
        start = 1_800_000_000_000 + number * 1000
        texts = {key: str(value) for key, value in {**OBJECTIVE, **(params or {})}.items()}
        whole = {
            "run_id": f"{number:08d}" + "0" * 24,
            "experiment": "digits",
            "name": f"run {number}",
            "status": "FINISHED",
            "start": start,
            "end": start + 60_000,
        }
        return Run(**{**whole, **fields}, params=texts, metrics=metrics or {})

    return make
