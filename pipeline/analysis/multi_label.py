"""What a model with several labels an example gets right, by label.

In NumPy, as ``classification.py``; the tests hold the numbers against scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis.classification import csv_of


@dataclass(frozen=True)
class LabelScores:
    """One label. What has no examples to be a share of is 0, as in scikit-learn.

    Attributes:
        precision: share of the examples said to have this label that have it.
        recall: share of the examples with this label that are said to have it.
        f1: harmonic mean of the two.
        auc: how often an example with it is given a higher probability than one without, ties
            counting half, exactly; NaN where all have it, or none.
        support: examples with this label.
    """

    name: str
    precision: float
    recall: float
    f1: float
    auc: float
    support: int


def label_scores(
    truth: np.ndarray, probabilities: np.ndarray, names: Sequence[str], threshold: float = 0.5
) -> list[LabelScores]:
    """The scores of each label.

    Args:
        truth: ``[n, labels]``, 0 or 1; probabilities: likewise, of each label.
        names: of the labels, numbers where they have none.
    """
    labels = truth.shape[1]
    there, said = truth.astype(bool), probabilities > threshold
    hits, true, positive = (x.sum(0) for x in (there & said, there, said))
    columns = (_share(hits, positive), _share(hits, true), _share(2 * hits, true + positive))
    areas = [auc(there[:, i], probabilities[:, i]) for i in range(labels)]
    names = names or [str(i) for i in range(labels)]
    return [
        LabelScores(name, float(p), float(r), float(f), area, int(n))
        for name, p, r, f, area, n in zip(names, *columns, areas, true, strict=True)
    ]


def auc(truth: np.ndarray, scores: np.ndarray) -> float:
    """The area under the ROC curve of ``[n]`` scores, by ranks (Mann and Whitney 1947)."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # ties have the mean of their ranks
    positive = int(truth.sum())
    pairs = positive * (len(truth) - positive)
    if not pairs:
        return float("nan")
    return float((ranks[truth.astype(bool)].sum() - positive * (positive + 1) / 2) / pairs)


def scores_csv(scores: Sequence[LabelScores]) -> str:
    """A row for each label."""
    rows = (
        [s.name, *(f"{v:.6f}" for v in (s.precision, s.recall, s.f1, s.auc)), s.support]
        for s in scores
    )
    return csv_of(["label", "precision", "recall", "f1", "auc", "support"], rows)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
