"""Whole networks: ResNet by its published size, and every config in conf/model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

import layers
from layers import nets

CONFIGS = Path(__file__).parents[2] / "conf" / "model"
CLASSES = 4
IMAGE = tf.TensorSpec([None, 8, 8, 1])
TOKENS = tf.TensorSpec([None, 8], tf.int32)
# Config -> what it takes and gives.
MODELS: dict[str, tuple[tf.TensorSpec, list[int | None]]] = {
    "mlp": (IMAGE, [None, CLASSES]),
    "mlp_deep": (IMAGE, [None, CLASSES]),
    "cnn": (IMAGE, [None, CLASSES]),
    "cnn_deep": (IMAGE, [None, CLASSES]),
    "cnn_strided": (IMAGE, [None, CLASSES]),
    "gru": (IMAGE, [None, CLASSES]),
    "local": (IMAGE, [None, CLASSES]),
    "resnet_small": (IMAGE, [None, CLASSES]),
    "resnet_pooled": (tf.TensorSpec([None, 16, 16, 1]), [None, CLASSES]),
    "resnet18": (tf.TensorSpec([None, 32, 32, 3]), [None, CLASSES]),
    "transformer": (IMAGE, [None, CLASSES]),
    "vit": (IMAGE, [None, CLASSES]),
    "text_encoder": (TOKENS, [None, CLASSES]),
    "language_model": (TOKENS, [None, 8, 256]),
    "language_model_gru": (TOKENS, [None, 8, 256]),
    "forecaster": (tf.TensorSpec([None, 8, CLASSES]), [None, 8, CLASSES]),
    "autoencoder": (IMAGE, [None, 8, 8, 1]),
}


@pytest.mark.slow
def test_resnets_have_their_published_sizes() -> None:
    # Weights without moving statistics, as published for ImageNet's 1000 classes.
    for blocks, expected in (([2, 2, 2, 2], 11_689_512), ([3, 4, 6, 3], 21_797_672)):
        model = layers.Stack(
            {
                "body": nets.ResNet(blocks),
                "pool": layers.GlobalAvgPool2D(),
                "logits": layers.Dense(1000),
            }
        )
        layers.build(model, tf.TensorSpec([None, 64, 64, 3]))
        assert sum(v.shape.num_elements() for v in model.trainable_variables) == expected


@pytest.mark.slow
def test_stages_halve_the_image_and_double_the_filters() -> None:
    for stem, sizes in (("large", [8, 4, 2]), ("small", [32, 16, 8])):
        model = nets.ResNet([1, 2, 1], filters=4, stem=stem)
        layers.build(model, tf.TensorSpec([None, 32, 32, 3]))
        shapes = {row.path: row.output_shape for row in layers.summarize(model)}
        for index, size in enumerate(sizes):
            assert shapes[f"stage{index + 1}"] == (None, size, size, 4 * 2**index)


def test_every_model_config_is_tested() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(MODELS)


QUICK = {"mlp", "autoencoder"}


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS]
)
def test_a_model_config_learns(name: str) -> None:
    """Three steps of gradient descent on one batch lower its loss."""
    inputs, output = MODELS[name]
    model = _instance(name)
    assert layers.build(model, inputs).shape.as_list() == output
    random = np.random.default_rng(0)
    shape = [8, *inputs.shape[1:]]
    tokens = inputs.dtype.is_integer
    x = tf.constant(
        random.integers(0, 200, shape) if tokens else random.random(shape), inputs.dtype
    )
    labels = tf.constant(random.integers(0, CLASSES, 8), tf.int32)

    def loss_of(y: tf.Tensor) -> tf.Tensor:
        if name == "autoencoder":
            return tf.reduce_mean((y - x) ** 2)
        if name == "forecaster":  # the next step
            return tf.reduce_mean((y[:, :-1] - x[:, 1:]) ** 2)
        if name.startswith("language_model"):  # the next token
            return tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(x[:, 1:], y[:, :-1])
            )
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y))

    before = float(loss_of(model(x)))
    weights = list(layers.outer_variables(model).values())

    @tf.function(autograph=False)
    def train(step: tf.Tensor) -> None:
        context = layers.training_step(seed=0, step=step, labels=labels, global_batch=8)
        with context, tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss = loss_of(model(x, training=True))
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(0.005 * gradient)

    for step in range(3):
        train(tf.constant(step))
    with layers.training_step(seed=0, step=9, labels=labels, global_batch=8):
        after = float(loss_of(model(x, training=name.startswith(("resnet", "cnn")))))
    assert np.isfinite(after)
    assert after < before


def _instance(name: str) -> Any:
    from hydra.utils import instantiate

    whole = OmegaConf.create(
        {
            "dataset": {"classes": CLASSES, "outputs": MODELS[name][1][-1], "vocabulary": 256},
            "optimizer": {"_target_": "pipeline.training.optimizers.Adam", "learning_rate": 3e-3},
            "trainer": {"batch_size": 8},
            "model": OmegaConf.load(CONFIGS / f"{name}.yaml"),
        }
    )
    return instantiate(whole.model)
