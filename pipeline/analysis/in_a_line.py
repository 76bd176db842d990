"""Long things in a line of text: their beginning, and how much more there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FEW = 5  # values that are shown of more
NAMES = 10


def few(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    more = f", … ({len(names):,} in all)" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more


def cut(text: str, most: int) -> str:
    """``text``, or so much of its beginning that it has ``most`` letters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shortened(value: Any) -> str:
    """A value as JSON can hold it. None and false are left out of a mapping.

    >>> shortened({"factor": 0.0625, "lower": False, "ids": [1, 2, 3, 4, 5, 6, 7]})
    'factor 0.0625, ids [1, 2, 3, 4, 5, … (7 in all)]'
    """
    if isinstance(value, Mapping):
        told = {key: one for key, one in value.items() if one is not None and one is not False}
        return ", ".join(f"{key} {_inner(one)}" for key, one in told.items())
    if isinstance(value, list):
        return ", ".join(map(_inner, value[:FEW])) + _more(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(value) if isinstance(value, str) else str(value)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{shortened(dict(list(value.items())[:FEW]))}{_more(value)}}}"
    return f"[{shortened(value)}]" if isinstance(value, list) else shortened(value)


def _more(values: Any) -> str:
    return f", … ({len(values):,} in all)" if len(values) > FEW else ""
