"""How far a model's numbers are from the true ones: tables, and windows as one series.

In NumPy, as ``classification.py``; the tests hold the numbers against scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis.classification import csv_of


@dataclass(frozen=True)
class TargetScores:
    """One target, in its own units; ``r2`` is 0 where it never varies and is missed, else 1."""

    name: str
    mae: float
    rmse: float
    r2: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Miss:
    """One number that was missed. ``step``: of a sequence, from 0; None where there is none."""

    index: int  # of the example in the split, from 0
    step: int | None
    target: str
    truth: float
    predicted: float


def target_scores(
    truth: np.ndarray, predicted: np.ndarray, names: Sequence[str] = ()
) -> list[TargetScores]:
    """The scores of each target.

    Args:
        truth, predicted: ``[n, targets]``, or of sequences ``[n, time, targets]``.
        names: of the targets, numbers where they have none.
    """
    truth, predicted = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (truth, predicted))
    error = predicted - truth
    squares, mean = np.square(error).mean(0), truth.mean(0)
    variance = np.square(truth - mean).mean(0)
    share = np.divide(squares, variance, out=(squares > 0).astype(float), where=variance > 0)
    columns = (np.abs(error).mean(0), np.sqrt(squares), 1 - share, mean, np.sqrt(variance))
    rows = zip(_names(names, truth.shape[-1]), *columns, strict=True)
    return [TargetScores(name, *map(float, numbers)) for name, *numbers in rows]


def misses(
    truth: np.ndarray, predicted: np.ndarray, most: int, names: Sequence[str] = ()
) -> list[Miss]:
    """Where the error is largest in deviations of its target, the worst first, at most ``most``.

    Args:
        truth, predicted: ``[n, targets]``, or of sequences ``[n, time, targets]``.
    """
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    deviation = truth.std(tuple(range(truth.ndim - 1)))
    size = np.abs(predicted - truth) / np.where(deviation > 0, deviation, 1.0)
    order = np.argsort(-size, axis=None, kind="stable")[:most]
    named = _names(names, truth.shape[-1])
    found = []
    for at in zip(*np.unravel_index(order, truth.shape), strict=True):
        step = int(at[1]) if truth.ndim == 3 else None
        found.append(Miss(int(at[0]), step, named[at[-1]], float(truth[at]), float(predicted[at])))
    return found


def series(windows: np.ndarray, stride: int) -> np.ndarray:
    """Windows ``[n, time, targets]`` that begin ``stride`` steps apart as one series.

    Of each its last steps, for which the model has seen most, so that each step comes once:
    ``[n * stride, targets]``. Where windows do not overlap, that is all of them.
    """
    return windows[:, -min(stride, windows.shape[1]) :].reshape(-1, windows.shape[-1])


def scores_csv(scores: Sequence[TargetScores]) -> str:
    """A row for each target."""
    header = ["target", "mae", "rmse", "r2", "mean", "deviation"]
    numbers = ([s.mae, s.rmse, s.r2, s.mean, s.deviation] for s in scores)
    rows = ([s.name, *(f"{v:.6g}" for v in n)] for s, n in zip(scores, numbers, strict=True))
    return csv_of(header, rows)


def misses_csv(found: Sequence[Miss]) -> str:
    """A row for each, the worst first."""
    sequences = any(m.step is not None for m in found)
    header = ["example", *(["step"] if sequences else []), "target", "truth", "predicted", "error"]
    rows = (
        [m.index, *([m.step] if sequences else []), m.target]
        + [f"{v:.6g}" for v in (m.truth, m.predicted, m.predicted - m.truth)]
        for m in found
    )
    return csv_of(header, rows)


def _names(names: Sequence[str], targets: int) -> list[str]:
    """Those that are given, or numbers: the steps of a frame have no names."""
    return list(names) if len(names) == targets else [str(i) for i in range(targets)]
