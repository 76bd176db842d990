"""Regression in the target's own units, beside scikit-learn's numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as theirs
from sklearn.preprocessing import StandardScaler

import layers
from pipeline.errors import ConfigError, DataError
from pipeline.training.tasks import DataSpec, Regression

SHAPES = {"one": [], "several": [3], "sequences": [6, 2]}


def built(shape: list[int], **options: Any) -> Regression:
    task = Regression(**options)
    task.build(DataSpec("houses", shape[-1] if shape else 1, target=tf.TensorSpec([None, *shape])))
    return task


def drawn(shape: list[int]) -> np.ndarray:
    """Of 100 examples, in units that make standardizing worth while."""
    random = np.random.default_rng(0)
    scale, mean = np.array([[3e4, 0.01, 5.0], [2e5, 1.0, -70.0]])
    each = slice(shape[-1]) if shape else 0
    return (random.normal(size=(100, *shape)) * scale[each] + mean[each]).astype(np.float32)


def adapted(task: Regression, targets: np.ndarray, size: int = 32) -> Regression:
    task.adapt(lambda: np.array_split(targets, range(0, len(targets), size)))
    return task


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_metrics_are_those_of_scikit_learn_in_the_target_s_units(
    shape: list[int], standardize: bool, measured: Callable[..., dict[str, float]]
) -> None:
    targets = drawn(shape)
    task = adapted(built(shape, standardize=standardize), targets)
    outputs = np.random.default_rng(1).normal(size=(100, *(shape or [1]))).astype(np.float32)
    if not standardize:
        outputs = 2e5 + outputs * 3e4
    weights = np.random.default_rng(2).integers(0, 4, 100) / 2
    found = measured(task, outputs, targets, weights)
    answers = task.predict(tf.constant(outputs)).numpy()
    k, steps = (shape[-1] if shape else 1), (shape[0] if len(shape) == 2 else 1)
    truth, predicted = (x.reshape(-1, k).astype(np.float64) for x in (targets, answers))
    by = {"sample_weight": np.repeat(weights, steps)}
    for name, score in {
        "mae": theirs.mean_absolute_error,
        "rmse": theirs.root_mean_squared_error,
        "r2": theirs.r2_score,
    }.items():
        assert found[name] == pytest.approx(score(truth, predicted, **by), rel=1e-4), name
    assert [*task.training_metrics] == ["loss", "mae", "rmse"]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_mean_and_deviation_are_those_of_the_training_split(size: int) -> None:
    targets = drawn([3])
    task = adapted(built([3]), targets, size)
    scaler = StandardScaler().fit(targets.astype(np.float64))
    np.testing.assert_allclose(task.mean, scaler.mean_, rtol=1e-6)
    np.testing.assert_allclose(task.deviation, scaler.scale_, rtol=1e-5)
    standard = scaler.transform(targets.astype(np.float64))
    loss = task.loss(tf.zeros([100, 3]), tf.constant(targets))
    np.testing.assert_allclose(loss, np.square(standard).mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(task.predict(standard), targets, rtol=1e-5)


def test_small_differences_of_large_numbers_are_not_lost() -> None:
    targets = (1e7 + np.arange(4000) % 4).astype(np.float32)
    task = adapted(built([]), targets, 700)
    assert task.deviation.numpy() == pytest.approx(np.sqrt(1.25), rel=1e-6)
    assert task.mean.numpy() == pytest.approx(1e7 + 1.5, abs=1)


def test_a_target_that_never_varies_keeps_its_units() -> None:
    task = adapted(built([2]), np.array([[5.0, 1.0], [5.0, 3.0]], np.float32))
    assert task.deviation.numpy().tolist() == [1.0, 1.0]
    assert task.predict(tf.constant([[0.5, 0.5]])).numpy().tolist() == [[5.5, 2.5]]


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (np.zeros([0], np.float32), "the training split has no example to learn from"),
        (np.array([1.0, np.nan]), "the targets of the training split hold NaN or infinity"),
    ],
)
def test_nothing_can_be_learnt_of_bad_targets(targets: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=f"task.standardize: {said}"):
        adapted(built([]), targets)


def test_losses_are_their_formulas() -> None:
    outputs = np.array([[0.0, 0.0], [3.0, -0.5]], np.float32)
    targets = np.array([[0.5, -2.0], [1.0, -0.5]], np.float32)
    expected = {
        "mse": [(0.25 + 4) / 2, 4 / 2],
        "mae": [2.5 / 2, 2 / 2],
        "huber": [(0.125 + 1.5 * (2 - 0.75)) / 2, 1.5 * (2 - 0.75) / 2],
    }
    for name, each in expected.items():
        loss = built([2], loss=name, delta=1.5, standardize=False).loss(outputs, targets)
        np.testing.assert_allclose(loss, each, rtol=1e-6)
        assert loss.dtype == tf.float32


def test_one_target_is_answered_in_the_shape_of_the_output_and_not_broadcast() -> None:
    task = built([], standardize=False)
    targets = tf.constant([1, 2, 3])
    for outputs in (tf.constant([[1.0], [2.0], [5.0]]), tf.constant([1.0, 2.0, 5.0])):
        assert task.loss(outputs, targets).numpy().tolist() == [0.0, 0.0, 4.0]
        assert task.predict(outputs).shape == outputs.shape


def test_what_is_learnt_is_in_checkpoints_and_in_the_exported_model(tmp_path: Path) -> None:
    targets = drawn([])
    task = adapted(built([]), targets)
    tf.train.Checkpoint(task=task).write(str(tmp_path / "checkpoint"))
    again = built([])
    tf.train.Checkpoint(task=again).read(str(tmp_path / "checkpoint")).assert_consumed()
    assert again.mean.numpy() == task.mean.numpy() == pytest.approx(targets.mean(), rel=1e-4)
    assert again.deviation.numpy() == task.deviation.numpy()

    module = tf.Module()
    module.task = task
    module.predict = tf.function(
        task.predict, input_signature=[tf.TensorSpec([None, 1])], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert served.predict(tf.zeros([1, 1])).numpy() == pytest.approx(targets.mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "units", "said"),
    [
        ([], 2, "[None, 2], but dataset 'houses' has targets of shape [None], so [None, 1] is"),
        ([3], 2, "[None, 2], but dataset 'houses' has targets of shape [None, 3], so [None, 3] is"),
    ],
)
def test_output_of_another_shape_is_refused(shape: list[int], units: int, said: str) -> None:
    model = layers.Stack({"numbers": layers.Dense(units)})
    output = layers.build(model, tf.TensorSpec([None, 4]))
    data = DataSpec("houses", shape[-1] if shape else 1, target=tf.TensorSpec([None, *shape]))
    with pytest.raises(ConfigError) as caught:
        Regression().check(model, output, data)
    assert f"model.layers.numbers: its output has shape {said}" in str(caught.value)
    assert str(caught.value).endswith("Give the last layer units: ${dataset.outputs}.")
    for right in ([None, 1], [None]) if not shape else ([None, 3],):
        Regression().check(model, tf.TensorSpec(right), data)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": "huberr"}, "task.loss: there is no loss 'huberr'. Did you mean 'huber'?"),
        ({"delta": 0.0}, "task.delta: 0.0 is not above 0; 1 is usual"),
        (
            {"metrics": ["accuracy"]},
            "task.metrics: Regression does not measure 'accuracy'. Valid: loss, mae, r2, rmse.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Regression(**options)
    assert str(caught.value) == said
