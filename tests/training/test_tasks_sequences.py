"""Next-token prediction with padding, and reconstruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as theirs

import layers
from pipeline.errors import ConfigError
from pipeline.training.tasks import DataSpec, LanguageModel, Reconstruction

Measured = Callable[..., dict[str, float]]
BYTES = np.array([0, 1, 2, 3, 1])
TEXT = DataSpec("play", 5, target=tf.TensorSpec([None, 7], tf.int32), token_bytes=BYTES)
ALL = ["perplexity", "accuracy", "bits_per_byte"]


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences that end in padding (0), one of them with nothing else."""
    random = np.random.default_rng(0)
    tokens = random.integers(1, 5, (40, 7)).astype(np.int32)
    lengths = random.integers(0, 8, 40)
    tokens[np.arange(7) >= lengths[:, None]] = 0
    logits = random.normal(0, 2, (40, 7, 5)) + 2 * np.eye(5)[tokens]
    return logits.astype(np.float32), tokens, random.integers(0, 4, 40) / 2


def language_model(data: DataSpec = TEXT, **options: Any) -> LanguageModel:
    task = LanguageModel(**options)
    task.build(data)
    return task


@pytest.mark.parametrize("padding", [0, None])
def test_language_model_measures_tokens_and_no_padding(
    padding: int | None, measured: Measured
) -> None:
    logits, tokens, weights = drawn()
    task = language_model(padding=padding, metrics=ALL)
    found = measured(task, logits, tokens, weights)
    kept = tokens != 0 if padding == 0 else np.ones(tokens.shape, bool)
    by = np.broadcast_to(weights[:, None], tokens.shape)[kept]
    truth, predicted = tokens[kept], logits.argmax(-1)[kept]
    probabilities = tf.nn.softmax(logits.astype(np.float64)).numpy()[kept]
    nats = theirs.log_loss(truth, probabilities, labels=range(5), sample_weight=by)
    assert found["loss"] == pytest.approx(nats, rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(nats), rel=1e-5)
    expected = theirs.accuracy_score(truth, predicted, sample_weight=by)
    assert found["accuracy"] == pytest.approx(expected)
    bits = nats * by.sum() / (BYTES[truth] * by).sum() / np.log(2)
    assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-5)


def test_every_token_has_the_same_share_of_the_objective_however_short_its_sequence() -> None:
    logits, tokens, _ = drawn()
    task = language_model(padding=0)
    with tf.GradientTape() as tape:
        outputs = tf.Variable(logits)
        loss = task.loss(outputs, tokens)
        objective = tf.reduce_sum(loss)
    gradient = tape.gradient(objective, outputs).numpy()
    assert loss.numpy()[(tokens == 0).all(1)].tolist() == [0.0] * int((tokens == 0).all(1).sum())
    assert (tokens == 0).all(1).any()
    assert not gradient[tokens == 0].any()
    hot = np.eye(5)[tokens] * 7
    by_token = (
        -(gradient * hot).sum(-1)[tokens != 0]
        / (1 - tf.nn.softmax(logits).numpy()[np.eye(5, dtype=bool)[tokens]].reshape(tokens.shape))[
            tokens != 0
        ]
    )
    np.testing.assert_allclose(by_token, 1.0, rtol=1e-4)


def test_padding_may_be_no_token_of_the_vocabulary() -> None:
    logits, tokens, _ = drawn()
    outside = np.where(tokens == 0, -1, tokens)
    inside = language_model(padding=0).loss(logits, tokens)
    np.testing.assert_array_equal(language_model(padding=-1).loss(logits, outside), inside)


def test_padding_is_what_the_data_says_unless_the_task_is_told() -> None:
    data = DataSpec("play", 5, target=TEXT.target, padding=3)
    assert language_model(data).padding == 3
    assert language_model(data, padding=0).padding == 0


def test_language_model_answers_what_comes_after_the_last_token() -> None:
    logits, _, _ = drawn()
    answer = language_model().predict(tf.constant(logits)).numpy()
    np.testing.assert_allclose(answer, tf.nn.softmax(logits[:, -1]), rtol=1e-6)


def test_bits_per_byte_needs_to_know_the_bytes() -> None:
    data = DataSpec("play", 5, target=TEXT.target)
    with pytest.raises(ConfigError) as caught:
        language_model(data, metrics=["bits_per_byte"])
    assert "bits_per_byte needs to know how many bytes each token of dataset 'play'" in str(
        caught.value
    )


def test_language_model_without_a_time_axis_is_refused() -> None:
    model = layers.Stack({"flat": layers.Flatten(), "logits": layers.Dense(5)})
    output = layers.build(model, tf.TensorSpec([None, 7, 2]))
    with pytest.raises(ConfigError) as caught:
        language_model().check(model, output, TEXT)
    assert str(caught.value) == (
        "model.layers.logits: its output has shape [None, 5], but dataset 'play' has sequences of "
        "7 out of 5 tokens, so [None, 7, 5] is expected. Give the last layer units: "
        "${dataset.outputs}."
    )
    language_model().check(model, tf.TensorSpec([None, 7, 5]), TEXT)


# Reconstruction ----------------------------------------------------------------------------------

IMAGES = DataSpec("digits", None, inputs=tf.TensorSpec([None, 4, 4, 1]))


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_reconstruction_is_measured_in_the_inputs_units(loss: Any, measured: Measured) -> None:
    random = np.random.default_rng(0)
    images = random.random((30, 4, 4, 1)).astype(np.float32)
    outputs = random.normal(size=images.shape).astype(np.float32)
    weights = random.integers(0, 4, 30) / 2
    task = Reconstruction(loss, metrics=["mae", "rmse", "psnr"])
    found = measured(task, outputs, images, weights)
    answers = task.predict(tf.constant(outputs)).numpy()
    sigmoid = 1 / (1 + np.exp(-outputs))
    np.testing.assert_allclose(answers, sigmoid if loss == "bce" else outputs, rtol=1e-5)
    square = np.square(answers - images).mean((1, 2, 3))
    cross = -(images * np.log(sigmoid) + (1 - images) * np.log(1 - sigmoid)).mean((1, 2, 3))
    expected = {
        "loss": np.average(cross if loss == "bce" else square, weights=weights),
        "mae": np.average(np.abs(answers - images).mean((1, 2, 3)), weights=weights),
        "rmse": np.sqrt(np.average(square, weights=weights)),
        "psnr": np.average(-10 * np.log10(square), weights=weights),
    }
    assert found == pytest.approx(expected, rel=1e-5)


def test_psnr_counts_from_the_peak_and_is_finite_where_nothing_is_wrong(measured: Measured) -> None:
    images = np.zeros((2, 4, 4, 1), np.float32)
    task = Reconstruction(peak=255.0, metrics=["psnr"])
    assert measured(task, images + 25.5, images)["psnr"] == pytest.approx(20.0)
    assert measured(task, images, images)["psnr"] == pytest.approx(100.0)


def test_reconstruction_of_another_shape_is_refused() -> None:
    model = layers.Stack({"code": layers.Flatten(), "image": layers.Dense(8)})
    output = layers.build(model, IMAGES.inputs)
    with pytest.raises(ConfigError) as caught:
        Reconstruction().check(model, output, IMAGES)
    assert str(caught.value) == (
        "model.layers.image: its output has shape [None, 8], but dataset 'digits' has inputs of "
        "shape [None, 4, 4, 1], so [None, 4, 4, 1] is expected. Give the last layer 1 units or "
        "filters, or reshape its output."
    )
    Reconstruction().check(model, IMAGES.inputs, IMAGES)


def test_reconstruction_of_several_inputs_is_refused() -> None:
    data = DataSpec(
        "ships", None, inputs={"age": tf.TensorSpec([None]), "fare": tf.TensorSpec([None])}
    )
    with pytest.raises(ConfigError) as caught:
        Reconstruction().check(layers.Stack({}), tf.TensorSpec([None, 2]), data)
    assert str(caught.value) == (
        "task: Reconstruction gives back one tensor, but dataset 'ships' has the inputs age, fare. "
        "Name one in dataset.inputs, or join them in dataset.preprocess."
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": "mae"}, "task.loss: there is no loss 'mae'. Did you mean 'mse'?"),
        ({"peak": 0}, "task.peak: 0 is not above 0; 1 is that of scaled images"),
        (
            {"metrics": ["psn"]},
            "task.metrics: Reconstruction does not measure 'psn'. Did you mean 'psnr'?",
        ),
    ],
)
def test_options_of_reconstruction_that_do_not_fit_are_refused(options: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Reconstruction(**options)
    assert str(caught.value) == said
