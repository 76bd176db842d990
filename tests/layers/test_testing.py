"""``layers.testing`` finds what is wrong with a layer: each of these is wrong in one way."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from omegaconf import OmegaConf

import layers
from layers.testing import conformance

ROWS = tf.TensorSpec([None, 4])


class Scale(layers.Layer):
    """``x * w``; the classes below break it."""

    def build(self, x: tf.TensorSpec) -> None:
        self.w = self.weight("w", [4], "normal")

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self.cast(x) * self.cast(self.w)


class HidesItsVariable(Scale):
    def build(self, x: tf.TensorSpec) -> None:
        self.held = OmegaConf.create({}, flags={"allow_objects": True})
        self.held["w"] = self.weight("w", [4], "normal")

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self.cast(x) * self.cast(self.held["w"])


class NamedOtherwise(Scale):
    def build(self, x: tf.TensorSpec) -> None:
        self.w = self.weight("kernel", [4], "normal")


class ForgetsTheSeed(Scale):
    def build(self, x: tf.TensorSpec) -> None:
        self.w = self.weight("w", [4], lambda shape, dtype, seed: tf.range(4, dtype=dtype))


class KeepsTheBatchSize(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return super().call(tf.reshape(x, [2, 2, 4])[:, 0], training)


class StopsTheGradient(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self.cast(x) * self.cast(tf.stop_gradient(self.w))


class SeesItsShardOnly(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        y = super().call(x, training)
        return y - tf.reduce_sum(y, 0) if training else y


class CountsInEvaluation(Scale):
    def build(self, x: tf.TensorSpec) -> None:
        super().build(x)
        self.calls = self.state("calls", [], "zeros", "replicated")

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.calls.assign_add(1.0)
        return super().call(x, training)


class DrawsWithoutKey(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        y = super().call(x, training)
        return y * tf.random.uniform([], 0.5, 1.0, y.dtype) if training else y


class DrawsTheSameOnReplicas(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        y = super().call(x, training)
        return y * tf.random.stateless_uniform([], [1, 2], dtype=y.dtype) if training else y


class StaysInFloat32(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        dtype = tf.float64 if x.dtype == tf.float64 else tf.float32
        return tf.cast(x, dtype) * tf.cast(self.w, dtype)


class HasAWrongGradient(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        @tf.custom_gradient
        def doubled(y: tf.Tensor) -> tuple[tf.Tensor, Any]:
            return y, lambda upstream: 2.0 * upstream

        return doubled(super().call(x, training))


class ReplacesWhatHoldsItsVariable(Scale):
    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Any] = {}

    def build(self, x: tf.TensorSpec) -> None:
        self.held = {"w": self.weight("w", [4], "normal")}

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        return self.cast(x) * self.cast(self.held["w"])


class SaysNothingOfTheShape(Scale):
    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        if x.shape[-1] != 4:
            raise layers.LayerError("wrong size")
        return super().call(x, training)


class TakesNoConfig(Scale):
    def __init__(self, sizes: list[int], **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(sizes, list):
            raise AssertionError("not a list")


@pytest.mark.slow
def test_a_right_layer_passes() -> None:
    conformance(Scale, {}, ROWS, variables=1)


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (Scale, {"variables": 2}, "variables_are_all_found: 1 variables, 2 declared"),
    (Scale, {"state": True}, "variables_are_all_found: state declared: True, found: []"),
    (Scale, {"random": True}, "randomness_is_keyed: random declared: True, differs: False"),
    (HidesItsVariable, {}, "variables_are_all_found: a checkpoint reaches 0 variables of 1"),
    (NamedOtherwise, {}, "variables_are_all_found: 'kernel' is held in the attribute 'w'"),
    (ForgetsTheSeed, {}, "initial_values_depend_on_seed_and_path: another seed gives the same"),
    (KeepsTheBatchSize, {}, "traced_equals_eager_at_all_batch_sizes: "),
    (StopsTheGradient, {}, "every_trainable_gets_a_gradient: w has no gradient"),
    (SeesItsShardOnly, {}, "replicas_train_alike: "),
    (CountsInEvaluation, {"variables": 2, "state": True}, "evaluation_is_pure: "),
    (DrawsWithoutKey, {"random": True}, ""),
    (DrawsTheSameOnReplicas, {"random": True}, "randomness_is_keyed: random declared: True"),
    (StaysInFloat32, {}, "computes_in_bfloat16: "),
    (HasAWrongGradient, {}, "gradients_equal_finite_differences: the gradient of w along a"),
    (ReplacesWhatHoldsItsVariable, {}, "restored_before_it_is_built: "),
    (SaysNothingOfTheShape, {}, "wrong_inputs_are_explained: no layer is named: wrong size"),
    (TakesNoConfig, {"arguments": {"sizes": [1]}}, "made_from_a_config: "),
]
# One that fails early, one of the arithmetic; the others run through most checks before they fail.
QUICK = {HidesItsVariable, NamedOtherwise, HasAWrongGradient}


@pytest.mark.parametrize(
    ("layer", "declared", "check"),
    [w if w[0] in QUICK else pytest.param(*w, marks=pytest.mark.slow) for w in WRONG],
)
def test_a_wrong_layer_fails_with_the_reason(
    layer: Any, declared: dict[str, Any], check: str
) -> None:
    given = {"arguments": {}, "variables": 1, **declared}
    with pytest.raises(AssertionError) as error:
        conformance(layer, inputs=ROWS, **given)
    assert f"check_{check}" in str(error.value)
