"""Names and values as MLflow takes them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

NAME_LENGTH = 250
SHORTEST_PREFIX = 6  # of a run id, as git allows


@cache
def metric_name(name: str) -> str:
    """``name`` with what MLflow does not take in a name replaced: ``acc@5`` is ``acc_5``."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:NAME_LENGTH]


def param_text(value: Any) -> str:
    """A config value as YAML would show it: ``null``, ``true``, ``0.01``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
