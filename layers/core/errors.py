"""What a layer says when it cannot be made, built or called.

A message reads ``path (Type): what was expected, what was given; what to do``; in a constructor,
before a layer has a path, it begins with the type alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 20  # names that a message lists


class LayerError(ValueError):
    """A layer was given something it cannot take."""


def did_you_mean(given: object, valid: Iterable[str]) -> str:
    """A sentence that names the nearest of the ``valid`` names, or the first where none is near."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(given).lower(), names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(repr(name) for name in near) + "?"
    more = f", … ({len(names)} in all)" if len(names) > MOST else ""
    return "Valid: " + ", ".join(names[:MOST]) + more + "."
