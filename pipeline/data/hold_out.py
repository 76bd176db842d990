"""Parts of a set of examples: disjoint, exhaustive, and the same every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import DataError


def hold_out(
    labels: np.ndarray, share: float, stratify: bool, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Ascending indices to train and to validate with, drawn by chance.

    Args:
        labels: ``[n]`` whole numbers.
        share: of the examples to validate with, above 0 and below 1; at least one is, and at least
            one is left.
        stratify: take each class in proportion.

    Raises:
        DataError: the share is none, or there are fewer than two examples.
    """
    count = held_out(len(labels), share)
    classes = np.asarray(labels) if stratify else np.zeros(len(labels), np.int32)
    validation, train = parts_in_proportion(classes, [count], seed)
    return train, validation


def held_out(examples: int, share: float) -> int:
    """How many of ``examples`` are validated with, see ``hold_out``."""
    if not 0.0 < share < 1.0:
        raise DataError(f"A share of {share} cannot be held out; above 0 and below 1 is expected.")
    if examples < 2:
        raise DataError(f"{examples} example cannot be divided; two at least are needed.")
    return min(max(round(examples * share), 1), examples - 1)


def parts_in_proportion(
    labels: np.ndarray, totals: Sequence[int], seed: int = 0
) -> list[np.ndarray]:
    """Ascending indices of parts of ``totals`` examples, and last of what is left.

    Every index is in one part, and every class in proportion in each, by largest remainders.
    """
    classes, counts = np.unique(labels, return_counts=True)
    taken = np.stack([in_proportion(counts, total) for total in totals])
    # RandomState is frozen by NumPy's compatibility policy; default_rng's stream may change.
    random = np.random.RandomState(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(len(totals) + 1)]
    for label, ends in zip(classes, np.cumsum(taken, axis=0).T, strict=True):
        members = random.permutation(np.flatnonzero(labels == label))
        for part, chosen in zip(parts, np.split(members, ends), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]


def in_proportion(counts: np.ndarray, total: int) -> np.ndarray:
    """Share ``total`` out in proportion to ``counts``, largest remainders first."""
    exact = counts * total / counts.sum()
    shares = np.floor(exact).astype(int)
    by_remainder = np.argsort(shares - exact, kind="stable")
    shares[by_remainder[: total - shares.sum()]] += 1
    return shares
