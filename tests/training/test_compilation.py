"""What XLA compiles: the rule, and the requests that cannot be met."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError


def _model(kind: str):
    import layers

    inner = {
        "dense": {"flat": layers.Flatten(), "out": layers.Dense(3)},
        "norm": {"flat": layers.Flatten(), "norm": layers.BatchNorm(), "out": layers.Dense(3)},
        "conv": {"conv": layers.Conv2D(2, 3), "flat": layers.Flatten()},
    }
    return layers.Stack(inner[kind])


def _choose(requested: str, kind: str, replicas: int = 1, on_gpu: bool = False):
    import tensorflow as tf

    import layers
    from pipeline.training.compilation import choose

    model, element = _model(kind), tf.TensorSpec([None, 4, 4, 1], tf.float32)
    layers.build(model, element)
    return choose(requested, model, element, replicas, on_gpu)


@pytest.mark.parametrize(
    ("kind", "replicas", "on_gpu", "mode", "reason"),
    [
        ("dense", 1, False, "loop", "one replica, resident data"),
        ("norm", 1, False, "loop", "one replica, resident data"),
        ("conv", 1, False, "off", "Conv2D is slower in XLA on CPU"),
        ("conv", 1, True, "loop", "one replica, resident data"),
        ("dense", 2, False, "off", "2 replicas"),
    ],
)
def test_auto_follows_its_rule(kind, replicas, on_gpu, mode, reason) -> None:
    found = _choose("auto", kind, replicas, on_gpu)
    assert (found.mode, found.reason) == (mode, reason)


def test_a_request_is_met_and_recorded_as_one() -> None:
    assert _choose("off", "dense").mode == "off"
    assert _choose("gradients", "dense", 2).reason == "asked for by trainer.compile"


def test_whole_loop_on_several_replicas_is_refused() -> None:
    with pytest.raises(ConfigError, match="compiles the whole loop for one replica only"):
        _choose("loop", "dense", 2)


def test_gradients_of_a_model_with_state_on_several_replicas_are_refused() -> None:
    with pytest.raises(ConfigError, match="the model assigns state in its forward pass"):
        _choose("gradients", "norm", 2)


def test_auto_falls_back_where_xla_refuses_the_model(make_trainer) -> None:
    import tensorflow as tf

    import layers
    from pipeline.training.compilation import Compilation

    class Strings(layers.Layer):
        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            words = tf.strings.as_string(tf.reduce_sum(x))  # no kernel in XLA
            return x + 0.0 * tf.strings.to_number(words)

    def model():
        return layers.Stack({"s": Strings(), "flat": layers.Flatten(), "logits": layers.Dense(4)})

    trainer = make_trainer(1, model=model, mode="loop")
    trainer.compilation = Compilation("loop", "one replica, resident data")
    found = trainer.warm_up()
    assert found.mode == "off"
    assert found.reason.startswith("XLA refuses the model: ")
    assert trainer.train(3).rows.shape == (3, 4)
