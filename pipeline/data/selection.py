"""Which examples are trained on, validated with and tested with.

That is what a TFDS split expression selects; or, where a dataset has no split to validate with, a
share of the training split, drawn by chance (``hold_out.py``), and the rest of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data.decoder import Decoder
from pipeline.data.features import Target
from pipeline.data.hold_out import held_out, hold_out
from pipeline.data.records import Records
from pipeline.errors import DataError, did_you_mean

ROLES = ("train", "validation", "test")
_READ = 4096  # labels at once


@dataclass(frozen=True, eq=False)
class Selection:
    """The examples of a role.

    Attributes:
        expression: what TFDS selects.
        members: those of it that are meant, ascending; None: all.
        name: of both, for messages.
    """

    expression: str
    members: np.ndarray | None
    name: str


def divides(config: Dataset, role: str) -> bool:
    """Whether ``role`` has a part of the training split that chance chooses."""
    return config.splits.hold_out is not None and role != "test"


def select(
    builder: tfds.core.DatasetBuilder, config: Dataset, target: Target, role: str
) -> Selection:
    """The examples of ``role``: train, validation or test.

    Raises:
        DataError: each class is to be taken in proportion, and there are no classes.
    """
    splits = config.splits
    if not divides(config, role):
        expression = str(getattr(splits, role))
        return Selection(expression, None, expression)
    expression, share = str(splits.train), float(splits.hold_out or 0)
    if splits.stratify:
        labels = _labels(builder, expression, target)
    else:
        labels = np.zeros([builder.info.splits[expression].num_examples], np.int32)
    train, validation = hold_out(labels, share, splits.stratify)
    if role == "train":
        return Selection(expression, train, f"{expression} but the {share:g} held out")
    return Selection(expression, validation, f"{share:g} of {expression}, held out")


def sizes(builder: tfds.core.DatasetBuilder, config: Dataset) -> dict[str, int]:
    """Examples by role; reads none.

    Raises:
        DataError: an expression is none of TFDS's, selects nothing, or cannot be divided.
    """
    splits = config.splits
    given = [role for role in ROLES if role != "validation" or splits.hold_out is None]
    found = {role: _size(builder, role, str(getattr(splits, role))) for role in given}
    if splits.hold_out is not None:
        found["validation"] = held_out(found["train"], splits.hold_out)
        found["train"] -= found["validation"]
    return {role: found[role] for role in ROLES}


def _labels(builder: tfds.core.DatasetBuilder, expression: str, target: Target) -> np.ndarray:
    if target.kind != "class" or not target.paths:
        raise DataError(
            "dataset.splits.stratify takes each class in proportion, but what is predicted is no "
            f"class of an example{_named(target)}. Set dataset.splits.stratify=false."
        )
    (path,) = target.paths
    records, decoder = Records(builder, expression), Decoder(builder, [path])
    starts = range(0, len(records), _READ)
    at = (np.arange(first, min(first + _READ, len(records))) for first in starts)
    return np.concatenate([records.decoded(indices, decoder)[path] for indices in at])


def _named(target: Target) -> str:
    return f" (dataset.target={', '.join(target.paths)})" if target.paths else ""


def _size(builder: tfds.core.DatasetBuilder, role: str, expression: str) -> int:
    """Examples that a split expression selects; it must parse and select at least one."""
    splits = builder.info.splits
    given = f"dataset.splits.{role}={expression}"
    for term in expression.split("+"):
        name = re.sub(r"\[.*", "", term).strip()
        if name != "all" and name not in splits:
            raise DataError(
                f"{given}: {builder.info.full_name} has no split {name!r}. "
                f"{did_you_mean(name, splits)}"
            )
    try:
        examples = splits[expression].num_examples
    except Exception as error:  # TFDS raises one kind or another for what it cannot parse
        reason = " ".join(str(error).split())
        raise DataError(
            f"{given} is not a split expression for {builder.info.full_name}: {reason} "
            "Write for example train, train[:90%], train[90%:], train[100:200] or train+test."
        ) from error
    if not examples:
        has = ", ".join(f"{name} {info.num_examples:,}" for name, info in sorted(splits.items()))
        raise DataError(f"{given} is empty: {builder.info.full_name} has {has} examples.")
    return examples
