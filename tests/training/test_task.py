"""Classification: loss, metrics, and the message when a model does not fit."""

from __future__ import annotations

import numpy as np
import pytest


def test_smoothed_loss_equals_the_cross_entropy_against_smoothed_targets() -> None:
    import tensorflow as tf

    from pipeline.training.tasks import Classification

    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 1, 0], np.int32)
    target = 0.8 * np.eye(3, dtype=np.float32)[labels] + 0.2 / 3
    expected = tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=logits)
    loss = Classification(label_smoothing=0.2).loss(tf.constant(logits), tf.constant(labels))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_loss_is_float32_for_bfloat16_logits() -> None:
    import tensorflow as tf

    from pipeline.training.tasks import Classification

    loss = Classification().loss(tf.zeros([2, 3], tf.bfloat16), tf.constant([0, 1]))
    assert loss.dtype == tf.float32


def test_label_smoothing_outside_its_range_is_refused() -> None:
    from pipeline.errors import ConfigError
    from pipeline.training.tasks import Classification

    with pytest.raises(ConfigError, match=r"label_smoothing: 1.5 is not a share in \[0, 1\)"):
        Classification(label_smoothing=1.5)


def test_wrong_number_of_classes_names_the_layer_and_both_shapes() -> None:
    import tensorflow as tf

    import layers
    from pipeline.errors import ConfigError
    from pipeline.training.tasks import Classification, DataSpec

    model = layers.Stack({"flat": layers.Flatten(), "logits": layers.Dense(7)})
    output = layers.build(model, tf.TensorSpec([None, 4, 4, 1], tf.float32))
    with pytest.raises(ConfigError) as caught:
        Classification().check(model, output, DataSpec("digits", 10))
    assert "model.layers.logits: its output has shape [None, 7]" in str(caught.value)
    assert "10 classes, so [None, 10] is expected" in str(caught.value)
