"""Tasks in the loops that train: two replicas and XLA measure what scikit-learn does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as theirs

import layers
from pipeline.training.tasks import Classification, Reconstruction, Regression

pytestmark = pytest.mark.slow
WAYS = [(1, "loop"), (2, "off")]
SEEN = 37  # examples in validation, on 2 replicas in batches of 16


def evaluated(trainer: Any) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics after 10 steps, as found on the way and by a pass of its own."""
    trained = trainer.train(10, evaluate_last=True)
    assert not trained.failure
    [(step, on_the_way)] = trained.evaluations
    assert step == 10
    return on_the_way, trainer.evaluate(trainer.validation.feed)


def outputs_of(trainer: Any, images: np.ndarray) -> np.ndarray:
    """What the model gives for the examples of the validation split."""
    return trainer.model(trainer.preprocess(tf.constant(images[:SEEN])), training=False).numpy()


@pytest.mark.parametrize(("replicas", "mode"), WAYS)
def test_classification(
    replicas: int, mode: str, make_trainer: Callable[..., Any], data: Any
) -> None:
    task = Classification(metrics=["accuracy", "top2", "f1", "auc"])
    trainer = make_trainer(replicas, task=task, mode=mode, validation={"every": 10})
    found, again = evaluated(trainer)
    logits, labels = outputs_of(trainer, data[0]), data[1][:SEEN]
    probabilities = task.predict(logits).numpy().astype(np.float64)
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = {
        "loss": theirs.log_loss(labels, probabilities),
        "accuracy": theirs.accuracy_score(labels, logits.argmax(1)),
        "top2": theirs.top_k_accuracy_score(labels, logits, k=2),
        "f1": theirs.f1_score(labels, logits.argmax(1), average="macro"),
        "auc": theirs.roc_auc_score(labels, probabilities, multi_class="ovr"),
    }
    assert found == pytest.approx(expected, rel=1e-4)
    assert again == found
    assert expected["f1"] < expected["auc"] < 1  # told apart, and not perfectly


@pytest.mark.parametrize(("replicas", "mode"), WAYS)
def test_regression(replicas: int, mode: str, make_trainer: Callable[..., Any], data: Any) -> None:
    targets = (data[1][:, None] * 1000.0 + 5000.0).astype(np.float32)
    trainer = make_trainer(
        replicas,
        task=Regression(),
        targets=targets,
        model=lambda: layers.Stack({"flat": layers.Flatten(), "number": layers.Dense(1)}),
        mode=mode,
        validation={"every": 10},
    )
    found, again = evaluated(trainer)
    predicted = trainer.task.predict(outputs_of(trainer, data[0])).numpy()
    expected = {
        "mae": theirs.mean_absolute_error(targets[:SEEN], predicted),
        "rmse": theirs.root_mean_squared_error(targets[:SEEN], predicted),
        "r2": theirs.r2_score(targets[:SEEN], predicted),
    }
    deviation = targets.std()
    assert found == pytest.approx(
        {"loss": (expected["rmse"] / deviation) ** 2} | expected, rel=1e-4
    )
    assert again == found
    assert expected["rmse"] < 3 * deviation  # the first predictions are of the right size


def test_reconstruction_is_of_the_preprocessed_inputs(
    make_trainer: Callable[..., Any], data: Any
) -> None:
    trainer = make_trainer(
        2,
        task=Reconstruction(),
        targets=None,
        model=lambda: layers.Stack({"pixels": layers.Dense(1)}),
        validation={"every": 10},
    )
    found, _ = evaluated(trainer)
    made, images = outputs_of(trainer, data[0]), data[0][:SEEN] / 255.0
    rmse = np.sqrt(np.square(made - images).mean())
    assert found == pytest.approx({"loss": rmse**2, "rmse": rmse}, rel=1e-5)
