"""The tables of a classifier, beside scikit-learn's and numbers by hand."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from sklearn import metrics

from pipeline.analysis import classification

LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.2, 0.7, 0.1],  # a mistake: 0 taken for 1, -ln 0.2
        [0.1, 0.6, 0.3],
        [0.5, 0.1, 0.4],  # 1 taken for 0, -ln 0.1
        [0.3, 0.4, 0.3],  # 2 taken for 1, -ln 0.3
        [0.1, 0.1, 0.8],
    ],
    np.float32,
)


def drawn(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of which two in three are right; the last class never occurs."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes - 1, 500)
    predicted = np.where(random.random(500) < 2 / 3, labels, random.integers(0, classes - 1, 500))
    return labels, predicted


def test_confusion_counts_truth_by_row_and_prediction_by_column() -> None:
    matrix = classification.confusion(LABELS, PROBABILITIES.argmax(1), 3)
    assert matrix.tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 1]]


@pytest.mark.parametrize(("classes", "seed"), [(3, 0), (10, 1), (40, 2)])
def test_numbers_are_scikit_learn_s(classes: int, seed: int) -> None:
    labels, predicted = drawn(classes, seed)
    matrix = classification.confusion(labels, predicted, classes)
    names = [str(i) for i in range(classes)]
    every = list(range(classes))
    assert np.array_equal(matrix, metrics.confusion_matrix(labels, predicted, labels=every))
    scores = classification.class_scores(matrix, names)
    ours = np.array([(s.precision, s.recall, s.f1, s.support) for s in scores]).T
    theirs = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    np.testing.assert_allclose(ours, np.array(theirs), rtol=1e-12)
    mean = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0, average="macro"
    )
    total = classification.macro(scores)
    np.testing.assert_allclose((total.precision, total.recall, total.f1), mean[:3], rtol=1e-12)
    assert total.support == 500


def test_a_class_without_examples_or_predictions_scores_0() -> None:
    matrix = classification.confusion(np.array([0, 0, 1]), np.array([0, 0, 0]), 3)
    scores = classification.class_scores(matrix, ["a", "b", "c"])
    assert [(s.precision, s.recall, s.support) for s in scores] == [
        (pytest.approx(2 / 3), 1.0, 2),
        (0.0, 0.0, 1),
        (0.0, 0.0, 0),
    ]


def test_the_worst_mistakes_are_those_of_highest_loss() -> None:
    found = classification.mistakes(LABELS, PROBABILITIES, 2)
    assert [(m.index, m.truth, m.predicted) for m in found] == [(3, 1, 0), (1, 0, 1)]
    assert [m.loss for m in found] == pytest.approx([-np.log(0.1), -np.log(0.2)], rel=1e-6)
    assert found[0].p_truth == pytest.approx(0.1)
    assert found[0].p_predicted == pytest.approx(0.5)
    assert [m.index for m in classification.mistakes(LABELS, PROBABILITIES, 9)] == [3, 1, 4]


@pytest.mark.slow
def test_worst_of_many_agree_with_recomputed_losses() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, (300, 7))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = random.integers(0, 7, 300)
    found = classification.mistakes(labels, probabilities, 20)
    losses = [
        metrics.log_loss(labels[[i]], probabilities[[i]], labels=range(7)) for i in range(300)
    ]
    wrong = [i for i in np.argsort(losses)[::-1] if probabilities[i].argmax() != labels[i]]
    assert [m.index for m in found] == wrong[:20]
    assert [m.loss for m in found] == pytest.approx([losses[i] for i in wrong[:20]])


def test_a_probability_that_underflowed_is_the_worst_of_all() -> None:
    probabilities = np.array([[0.4, 0.6], [0.0, 1.0]], np.float32)
    found = classification.mistakes(np.array([0, 0]), probabilities, 5)
    assert [(m.index, m.loss) for m in found] == [(1, np.inf), (0, pytest.approx(-np.log(0.4)))]


def test_confused_pairs_are_named_by_how_often() -> None:
    matrix = np.array([[5, 1, 0], [4, 6, 0], [0, 2, 8]])
    pairs = classification.confused(matrix, ["cat", "dog", "fox"])
    assert pairs == [("dog", "cat", 4, 10), ("fox", "dog", 2, 10), ("cat", "dog", 1, 6)]
    assert classification.confused(np.diag([3, 4]), ["a", "b"]) == []


def test_tables_read_back_whatever_the_names_hold() -> None:
    names = ["a,b", 'say "c"', "d"]
    matrix = classification.confusion(LABELS, PROBABILITIES.argmax(1), 3)
    rows = list(csv.reader(io.StringIO(classification.confusion_csv(matrix, names))))
    assert rows[0] == ["truth \\ predicted", *names]
    assert [row[0] for row in rows[1:]] == names
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == matrix.tolist()
    scores = classification.class_scores(matrix, names)
    rows = list(csv.reader(io.StringIO(classification.scores_csv(scores))))
    assert rows[1] == ["a,b", "0.500000", "0.500000", "0.500000", "2"]
    assert rows[-1][0] == "mean of classes"
    found = classification.mistakes(LABELS, PROBABILITIES, 1)
    rows = list(csv.reader(io.StringIO(classification.mistakes_csv(found, names))))
    assert rows[1] == ["3", 'say "c"', "a,b", "0.1", "0.5", "2.30259"]
