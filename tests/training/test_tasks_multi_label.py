"""Several labels an example, beside scikit-learn's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as theirs

import layers
from pipeline.errors import ConfigError
from pipeline.training.tasks import DataSpec, MultiLabel

DATA = DataSpec("photos", 5, ("sea", "sky", "sand", "sun", "ship"))
ALL = ["accuracy", "exact", "f1", "f1_micro", "auc"]


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (200, 5)).astype(np.uint8)
    logits = random.normal(0, 2, (200, 5)) + 2.0 * truth
    return logits.astype(np.float32), truth, random.integers(0, 4, 200) / 2


def built(**options: Any) -> MultiLabel:
    task = MultiLabel(**options)
    task.build(DATA)
    return task


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_metrics_are_those_of_scikit_learn(
    threshold: float, measured: Callable[..., dict[str, float]]
) -> None:
    logits, truth, weights = drawn()
    task = built(threshold=threshold, metrics=ALL)
    found = measured(task, logits, truth, weights)
    probabilities = task.predict(tf.constant(logits)).numpy().astype(np.float64)
    predicted, by = probabilities > threshold, {"sample_weight": weights}
    each = [theirs.log_loss(truth[:, c], probabilities[:, c], **by) for c in range(5)]
    assert found["loss"] == pytest.approx(np.mean(each), rel=1e-5)
    assert found["accuracy"] == pytest.approx(1 - theirs.hamming_loss(truth, predicted, **by))
    assert found["exact"] == pytest.approx(theirs.accuracy_score(truth, predicted, **by))
    for name, average in {"f1": "macro", "f1_micro": "micro"}.items():
        expected = theirs.f1_score(truth, predicted, average=average, **by)
        assert found[name] == pytest.approx(expected)
    expected = theirs.roc_auc_score(truth, logits, average="macro", **by)
    assert found["auc"] == pytest.approx(expected, abs=2e-5)


def test_training_leaves_out_what_takes_all_examples() -> None:
    assert [*built(metrics=ALL).training_metrics] == ["loss", "accuracy", "exact"]


def test_output_of_another_size_is_refused() -> None:
    model = layers.Stack({"logits": layers.Dense(3)})
    output = layers.build(model, tf.TensorSpec([None, 4]))
    with pytest.raises(ConfigError) as caught:
        built().check(model, output, DATA)
    assert str(caught.value) == (
        "model.layers.logits: its output has shape [None, 3], but dataset 'photos' has any of 5 "
        "classes, so [None, 5] is expected. Give the last layer units: ${dataset.outputs}."
    )


def test_threshold_is_a_probability() -> None:
    with pytest.raises(ConfigError, match=r"task.threshold: 1.0 is not a probability in \(0, 1\)"):
        MultiLabel(threshold=1.0)
