"""What a classifier gets right and wrong: tables out of labels and predicted probabilities.

In NumPy, because a run makes them when it ends and scikit-learn takes two seconds to load; the
tests hold the numbers against scikit-learn's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassScores:
    """One class. What has no examples to be a share of is 0, as in scikit-learn.

    Attributes:
        precision: share of the examples predicted as this class that are of it.
        recall: share of the examples of this class that are predicted as it.
        f1: harmonic mean of the two.
        support: examples of this class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Mistake:
    """A misclassified example. ``loss``: cross-entropy in nats, ``-ln p(truth)``."""

    index: int  # in the split, from 0
    truth: int
    predicted: int
    p_truth: float
    p_predicted: float
    loss: float


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 ``[classes, classes]``: how many examples of a class (row) are predicted as (column).

    Args:
        labels, predicted: ``[n]`` whole numbers in ``[0, classes)``.
    """
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_scores(matrix: np.ndarray, names: Sequence[str]) -> list[ClassScores]:
    """The scores of each class of a confusion matrix."""
    right = np.diag(matrix).astype(np.float64)
    truth, predicted = matrix.sum(1), matrix.sum(0)
    precision = _share(right, predicted)
    recall = _share(right, truth)
    f1 = _share(2 * right, truth + predicted)  # 2 TP / (2 TP + FP + FN)
    rows = zip(names, precision, recall, f1, truth, strict=True)
    return [ClassScores(n, float(p), float(r), float(f), int(s)) for n, p, r, f, s in rows]


def macro(scores: Sequence[ClassScores]) -> ClassScores:
    """The plain mean over the classes, whatever their size; ``support`` is the sum."""
    rows = np.array([(s.precision, s.recall, s.f1) for s in scores])
    precision, recall, f1 = rows.mean(0).tolist()
    return ClassScores("mean of classes", precision, recall, f1, sum(s.support for s in scores))


def mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> list[Mistake]:
    """The misclassified examples of highest cross-entropy, the worst first, at most ``most``.

    Args:
        labels: ``[n]``; probabilities: ``[n, classes]``. A class of highest probability is
            predicted; of several the first.
    """
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    p_truth = probabilities[wrong, labels[wrong]].astype(np.float64)
    with np.errstate(divide="ignore"):  # what underflowed to 0 has an infinite loss
        loss = -np.log(p_truth)
    order = np.argsort(-loss, kind="stable")[:most]
    return [
        Mistake(
            index=int(i),
            truth=int(labels[i]),
            predicted=int(predicted[i]),
            p_truth=float(p_truth[place]),
            p_predicted=float(probabilities[i, predicted[i]]),
            loss=float(loss[place]),
        )
        for place, i in ((place, wrong[place]) for place in order)
    ]


def confused(
    matrix: np.ndarray, names: Sequence[str], most: int = 3
) -> list[tuple[str, str, int, int]]:
    """The pairs that are confused most: truth, predicted, how often, examples of the truth."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    return [
        (names[a], names[b], int(wrong[a, b]), int(matrix[a].sum()))
        for a, b in pairs
        if wrong[a, b]
    ]


# As files ----------------------------------------------------------------------------------------


def confusion_csv(matrix: np.ndarray, names: Sequence[str]) -> str:
    """A row for each true class, a column for each predicted one."""
    rows = ([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))
    return csv_of(["truth \\ predicted", *names], rows)


def scores_csv(scores: Sequence[ClassScores]) -> str:
    """A row for each class, and their mean."""
    rows = (
        [s.name, *(f"{value:.6f}" for value in (s.precision, s.recall, s.f1)), s.support]
        for s in [*scores, macro(scores)]
    )
    return csv_of(["class", "precision", "recall", "f1", "support"], rows)


def mistakes_csv(found: Sequence[Mistake], names: Sequence[str]) -> str:
    """A row for each, the worst first."""
    rows = (
        [m.index, names[m.truth], names[m.predicted], f"{m.p_truth:.6g}", f"{m.p_predicted:.6g}"]
        + [f"{m.loss:.6g}"]
        for m in found
    )
    return csv_of(["example", "truth", "predicted", "p(truth)", "p(predicted)", "loss"], rows)


def csv_of(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as text that any spreadsheet reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
