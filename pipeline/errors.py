"""What the user is told when something cannot be done.

A ``UserError`` is a whole answer: what was given, what was expected, what to do. The verbs print
its text alone, without a traceback, and exit with its ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class UserError(Exception):
    """Something the user can mend. The message is everything they see."""

    exit_code = 1


class ConfigError(UserError):
    """The configuration cannot be run as written."""

    exit_code = 2


class DataError(UserError):
    """The dataset is missing, or does not hold what the config says."""

    exit_code = 2


class StoreError(UserError):
    """The tracking store cannot be opened, written, or does not hold what was asked for."""

    exit_code = 2


class TrainingError(UserError):
    """Training cannot go on: a loss or gradient that is not finite, for one."""

    exit_code = 1


def nearest(given: str, valid: Iterable[str], most: int = 3) -> list[str]:
    """Up to ``most`` of the ``valid`` names that look like ``given``, nearest first.

    Names that look much less like it than the nearest are left out.
    """
    word, lowered = str(given).lower(), {name.lower(): name for name in valid}
    close = difflib.get_close_matches(word, lowered, n=most, cutoff=0.5)
    alike = {name: difflib.SequenceMatcher(None, word, name).ratio() for name in close}
    return [lowered[name] for name in close if alike[name] > alike[close[0]] - 0.35]


def flag(word: str, flags: Mapping[str, str]) -> str:
    """The override that a flag such as ``--check`` stands for; ``ConfigError`` where it is none."""
    if word not in flags:
        raise ConfigError(f"{word}: there is no such flag. {did_you_mean(word, flags)}")
    return flags[word]


def did_you_mean(given: str, valid: Iterable[str]) -> str:
    """A sentence that names the nearest valid names, or all of them when none is near.

    >>> did_you_mean("lerning_rate", ["learning_rate", "momentum"])
    "Did you mean 'learning_rate'?"
    """
    names = sorted(set(valid))
    close = nearest(given, names)
    if close:
        return "Did you mean " + " or ".join(repr(name) for name in close) + "?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"Valid: {shown}." if names else "Nothing is valid here."


def nearest_keys(given: str, valid: Iterable[str], most: int = 3) -> list[str]:
    """The dotted keys that ``given`` may have been meant for, whole, nearest first.

    A key of the same last name elsewhere comes first (``batch_size`` for ``trainer.batch_size``),
    then the neighbours in the same place, then what looks alike anywhere.
    """
    keys = list(valid)
    parent, _, leaf = given.rpartition(".")
    same_leaf = [key for key in keys if key.rpartition(".")[2] == leaf and key != given]
    beside = {key.rpartition(".")[2]: key for key in keys if key.rpartition(".")[0] == parent}
    neighbours = [beside[name] for name in nearest(leaf, beside, most)]
    if neighbours or same_leaf:
        elsewhere = difflib.get_close_matches(given, same_leaf, n=most, cutoff=0.0)
        return list(dict.fromkeys([*neighbours, *elsewhere]))[:most]
    leaves = {key.rpartition(".")[2]: key for key in reversed(keys)}
    alike = difflib.get_close_matches(leaf, leaves, n=most, cutoff=0.75)
    return [leaves[name] for name in alike] or difflib.get_close_matches(given, keys, n=most)


def did_you_mean_key(given: str, valid: Iterable[str]) -> str:
    """A sentence that names the nearest valid dotted keys, or the valid ones beside ``given``.

    >>> did_you_mean_key("trainer.bach_size", ["seed", "trainer.batch_size"])
    "Did you mean 'trainer.batch_size'?"
    """
    keys = sorted(set(valid))
    close = nearest_keys(given, keys)
    if close:
        return "Did you mean " + " or ".join(repr(key) for key in close) + "?"
    parent = given.rpartition(".")[0]
    return did_you_mean(given, [k for k in keys if k.rpartition(".")[0] == parent] or keys)
