"""Which config keys tell runs apart: each difference once, in the key that says it best.

An optimizer that differs differs in its ``_target_``, its ``name`` and a handful of settings that
the other does not have. A person wants to read ``optimizer.name``, and the settings that both have
and that differ as well.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

from pipeline.tracking.runs import Run

# Where runs are kept, how they were started: no part of what was trained.
NOT_CONFIG = ("tracking.", "sweep.", "resume", "trusted_packages")
TARGET = "_target_"

Values = tuple[Hashable, ...]


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The config keys in which ``runs`` differ, in the order of the config, each with its copies:
    keys that have the same value as it in every run, such as ``${dataset.classes}``.

    Numbers are compared as numbers. Left out is what another key tells: the class behind a name,
    and the settings of a part that other runs do not have at all, where they are the same in all
    that have it.
    """
    order = list(dict.fromkeys(key for run in runs for key in run.params))
    columns = {
        key: tuple(plain(run.params.get(key)) for run in runs)
        for key in order
        if not key.startswith(NOT_CONFIG)
    }
    different = {key: values for key, values in columns.items() if len(set(values)) > 1}
    first: dict[Values, str] = {}
    found: dict[str, list[str]] = {}
    for key, values in different.items():
        if not _is_told(key, different):
            original = first.setdefault(values, key)
            found.setdefault(original, []).extend([key] if key != original else [])
    return found


def plain(text: str | None) -> Hashable:
    """A value for comparison: 1e-3 and 0.001 are one number, and 1 and true are not."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return text if math.isnan(value) else value


def _is_told(key: str, columns: Mapping[str, Values]) -> bool:
    """Whether another key says what ``key`` says."""
    node, _, leaf = key.rpartition(".")
    name = columns.get(f"{node}.name") if leaf == TARGET else None
    return (name is not None and _tells(name, columns[key])) or _is_of_a_part(key, columns)


def _is_of_a_part(key: str, columns: Mapping[str, Values]) -> bool:
    """Whether some runs lack ``key`` for lacking its part, and it is alike in all the others.

    A part is a node with a ``_target_``: its class tells who has the key, and so its value.
    """
    values = columns[key]
    if len(set(values) - {None}) > 1:
        return False
    node = key.rpartition(".")[0]
    while node:
        target = columns.get(f"{node}.{TARGET}")
        if target is not None and f"{node}.{TARGET}" != key and _tells(target, values):
            return True
        node = node.rpartition(".")[0]
    return False


def _tells(one: Values, other: Values) -> bool:
    """Whether who knows the value of ``one`` knows that of ``other``."""
    return len(set(zip(one, other, strict=True))) == len(set(one))
