"""Classification beyond accuracy: class weights, top-k, F1, AUC, beside scikit-learn's numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf
from sklearn import metrics as theirs
from sklearn.utils.class_weight import compute_class_weight

from pipeline.errors import ConfigError
from pipeline.training.tasks import Classification, DataSpec

Measured = Callable[..., dict[str, float]]
NAMES = ("ant", "bee", "cat", "dog")
DATA = DataSpec("animals", 4, NAMES, counts=lambda: np.array([6, 2, 0, 8]))
TWO = DataSpec("mails", 2, ("ham", "spam"))


def drawn(classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and weights of 200 examples."""
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, 200).astype(np.int32)
    logits = random.normal(0, 2, (200, classes)) + 2 * np.eye(classes)[labels]
    return logits.astype(np.float32), labels, random.integers(0, 4, 200) / 2


def built(data: DataSpec = DATA, **options: Any) -> Classification:
    task = Classification(**options)
    task.build(data)
    return task


def test_metrics_of_several_classes_are_those_of_scikit_learn(measured: Measured) -> None:
    logits, labels, weights = drawn(4)
    names = ["accuracy", "top2", "top3", "f1", "auc"]
    task = built(metrics=names)
    assert [*task.metrics] == ["loss", *names]
    assert [*task.training_metrics] == ["loss", "accuracy", "top2", "top3"]
    found = measured(task, logits, labels, weights)
    probabilities = task.predict(tf.constant(logits)).numpy().astype(np.float64)
    probabilities /= probabilities.sum(1, keepdims=True)
    predicted = logits.argmax(1)
    by = {"sample_weight": weights}
    assert found["loss"] == pytest.approx(theirs.log_loss(labels, probabilities, **by), rel=1e-5)
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(labels, predicted, **by))
    for k in (2, 3):
        expected = theirs.top_k_accuracy_score(labels, logits, k=k, **by)
        assert found[f"top{k}"] == pytest.approx(expected)
    assert found["f1"] == pytest.approx(theirs.f1_score(labels, predicted, average="macro", **by))
    each = [theirs.roc_auc_score(labels == c, probabilities[:, c], **by) for c in range(4)]
    assert found["auc"] == pytest.approx(np.mean(each), abs=1e-4)
    unweighted = measured(built(metrics=["auc"]), logits, labels)["auc"]
    expected = theirs.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert unweighted == pytest.approx(expected, abs=1e-4)


def test_metrics_of_two_classes_are_those_of_the_second(measured: Measured) -> None:
    logits, labels, weights = drawn(2)
    found = measured(built(TWO, metrics=["f1_binary", "auc"]), logits, labels, weights)
    by = {"sample_weight": weights}
    assert found["f1_binary"] == pytest.approx(theirs.f1_score(labels, logits.argmax(1), **by))
    score = logits[:, 1] - logits[:, 0]
    assert found["auc"] == pytest.approx(theirs.roc_auc_score(labels, score, **by), abs=1e-4)


def test_log_odds_are_right_where_a_probability_rounds_to_1() -> None:
    from pipeline.training.tasks.classification import _log_odds

    logits = tf.constant([[30.0, 0.0, -5.0], [1.0, 1.0, 1.0]])
    exact = [[30 - np.log(1 + np.exp(-5)), -30.0, -35.0], [-np.log(2)] * 3]
    np.testing.assert_allclose(_log_odds(logits), exact, rtol=1e-6)


def test_equal_logits_are_told_apart_by_place_so_that_top1_is_accuracy(measured: Measured) -> None:
    logits, labels = np.zeros([4, 4], np.float32), np.arange(4)
    found = measured(built(metrics=["accuracy", "top1", "top3"]), logits, labels)
    assert found["top1"] == found["accuracy"] == 0.25
    assert found["top3"] == 0.75
    nothing = np.full([4, 4], np.nan, np.float32)
    assert measured(built(metrics=["top3"]), nothing, labels)["top3"] == 0


def test_balanced_class_weights_are_scikit_learn_s_and_weigh_the_loss_alone(
    measured: Measured,
) -> None:
    task = built(class_weights="balanced", metrics=["accuracy"])
    labels = np.repeat([0, 1, 3], [6, 2, 8])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    assert task.weights is not None
    np.testing.assert_allclose(task.weights[[0, 1, 3]], expected, rtol=1e-6)
    assert task.weights[2] == 1  # in validation it may occur
    logits = drawn(4)[0][:16]
    weighted, plain = task.loss(logits, labels), built().loss(logits, labels)
    np.testing.assert_allclose(weighted, plain * np.repeat(expected, [6, 2, 8]), rtol=1e-6)
    assert np.mean(np.repeat(expected, [6, 2, 8])) == pytest.approx(1)
    accuracy = np.mean(logits.argmax(1) == labels)
    assert measured(task, logits, labels)["accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("asked", [[1, 2.5, 1, 1], {"bee": 2.5}])
def test_class_weights_are_given_by_place_or_by_name(asked: Any, tmp_path: Path) -> None:
    task = built(class_weights=OmegaConf.create(asked))
    assert task.weights is not None
    assert task.weights.tolist() == [1, 2.5, 1, 1]
    assert tf.train.Checkpoint(task=task).write(str(tmp_path / "c"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"class_weights": {"bees": 2}},
            "task.class_weights: dataset 'animals' has no class 'bees'. Did you mean 'bee'?",
        ),
        (
            {"class_weights": [1, 2]},
            "task.class_weights: 2 numbers are given, but dataset 'animals' has 4 classes",
        ),
        (
            {"class_weights": [1, 2, -1, 0]},
            "task.class_weights: [1.0, 2.0, -1.0, 0.0] are not numbers from 0 on, one of them "
            "above 0",
        ),
        (
            {"class_weights": "even"},
            "task.class_weights: 'even' is not balanced, a list or a mapping of classes",
        ),
        (
            {"metrics": ["acuracy"]},
            "task.metrics: Classification does not measure 'acuracy'. Did you mean 'accuracy'?",
        ),
        (
            {"metrics": ["top4"]},
            "task.metrics: top4 of the 4 classes of dataset 'animals' is always 1; take one from "
            "top1 to top3",
        ),
        (
            {"metrics": ["f1_binary"]},
            "task.metrics: f1_binary is for 2 classes, but dataset 'animals' has 4. Use f1, the "
            "mean over all classes.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(**options)
    assert str(caught.value) == said


def test_balanced_needs_counts() -> None:
    with pytest.raises(ConfigError, match="the classes of 'mails' are not counted; give a number"):
        built(TWO, class_weights="balanced")
