"""Own optimizers against Keras's, which are right on one device with dense gradients."""

from __future__ import annotations

import numpy as np
import pytest


def _trajectory(make, steps: int = 5):
    import tensorflow as tf

    rng = np.random.default_rng(3)
    gradients = [rng.normal(size=(4, 3)).astype(np.float32) for _ in range(steps)]
    variable = tf.Variable(rng.normal(size=(4, 3)).astype(np.float32))
    make(variable, gradients)
    return variable.numpy()


def _ours(optimizer):
    def run(variable, gradients):
        optimizer.build({"w": variable})
        for gradient in gradients:
            optimizer.apply({"w": gradient})

    return run


def _keras(optimizer):
    def run(variable, gradients):
        import keras

        twin = keras.Variable(variable.numpy())
        optimizer.build([twin])
        for gradient in gradients:
            optimizer.apply_gradients([(gradient, twin)])
        variable.assign(twin.value)

    return run


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
def test_update_equals_keras(name: str) -> None:
    import keras

    from pipeline.training import optimizers as own

    pairs = {
        "sgd": (own.SGD(0.1), keras.optimizers.SGD(0.1)),
        "momentum": (own.SGD(0.1, momentum=0.9), keras.optimizers.SGD(0.1, momentum=0.9)),
        "nesterov": (
            own.SGD(0.1, momentum=0.9, nesterov=True),
            keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        ),
        "rmsprop": (own.RMSProp(0.01), keras.optimizers.RMSprop(0.01)),
        "adam": (own.Adam(0.01), keras.optimizers.Adam(0.01)),
        "adamw": (
            own.AdamW(0.01, weight_decay=0.1),
            keras.optimizers.AdamW(0.01, weight_decay=0.1),
        ),
    }
    ours, theirs = pairs[name]
    np.testing.assert_allclose(_trajectory(_ours(ours)), _trajectory(_keras(theirs)), atol=2e-6)


def test_weight_decay_leaves_biases_and_norm_scales_alone() -> None:
    import tensorflow as tf

    from pipeline.training.optimizers import SGD

    shapes = {"dense/w": [2, 2], "dense/b": [2], "norm/scale": [2, 2]}
    variables = {path: tf.Variable(tf.ones(shape)) for path, shape in shapes.items()}
    optimizer = SGD(0.5, weight_decay=0.1)
    optimizer.build(variables)
    optimizer.apply({path: tf.zeros(shape) for path, shape in shapes.items()})
    np.testing.assert_allclose(variables["dense/w"], 0.95 * np.ones([2, 2]), rtol=1e-6)
    np.testing.assert_array_equal(variables["dense/b"], np.ones([2]))
    np.testing.assert_array_equal(variables["norm/scale"], np.ones([2, 2]))


def test_scale_multiplies_the_learning_rate() -> None:
    import tensorflow as tf

    from pipeline.training.optimizers import SGD

    variable = tf.Variable([1.0])
    optimizer = SGD(0.5)
    optimizer.build({"w": variable})
    optimizer.apply({"w": tf.constant([1.0])}, scale=0.1)
    np.testing.assert_allclose(variable, [0.95], rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_narrow_weights_have_wide_slots(name: str) -> None:
    import tensorflow as tf

    from pipeline.training.optimizers import SGD, Adam

    variable = tf.Variable(tf.ones([2], tf.bfloat16))
    optimizer = Adam(1e-2) if name == "adam" else SGD(1e-2, momentum=0.9)
    optimizer.build({"w": variable})
    assert all(v.dtype == tf.float32 for s in optimizer.slots.values() for v in s.values())
    for _ in range(3):
        # Adding 1e-3 of this to a bfloat16 that is near 1 would change nothing.
        optimizer.apply({"w": tf.constant([1.0, 0.001], tf.bfloat16)})
    slot = next(iter(optimizer.slots.values()))["w"].numpy()
    np.testing.assert_allclose(slot[1] / slot[0], 0.001, rtol=0.01)
    assert variable.dtype == tf.bfloat16
    assert float(variable[0]) < 1.0
