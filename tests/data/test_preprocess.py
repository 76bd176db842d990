"""Preprocessing: the same before training, in a graph, in XLA and in an exported model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from pipeline.data.preprocess import (
    Pad,
    Preprocessing,
    Reshape,
    Resize,
    Scale,
    Standardize,
    Step,
    Tokens,
)
from pipeline.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)  # NumPy: importing starts no device
ROWS = (np.random.RandomState(0).normal(size=(50, 3)) * [1, 100, 0] + [5, -30, 7]).astype("float32")
SPEC = tf.TensorSpec([None, 3], tf.float32)


def _cut(x: np.ndarray, *ends: int) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: iter(np.split(x, list(ends)))


# Numbers -----------------------------------------------------------------------------------------


def test_scale_multiplies_then_adds_in_float32() -> None:
    y = Scale(0.5, offset=-1.0)(IMAGES)
    assert y.dtype == tf.float32
    np.testing.assert_array_equal(y, np.arange(24).reshape(2, 2, 2, 3) * 0.5 - 1)


def test_standardize_works_channel_by_channel() -> None:
    y = Standardize(mean=[0, 1, 2], std=[1, 2, 4])(IMAGES)
    assert y.dtype == tf.float32
    np.testing.assert_array_equal(y[0, 0, 1], [3.0, 1.5, 0.75])


def test_standardize_refuses_wrong_channels_and_deviations() -> None:
    with pytest.raises(ValueError, match="mean has 2 values and std 1"):
        Standardize([0, 0], [1])
    with pytest.raises(ValueError, match="above 0"):
        Standardize([0], [0])
    with pytest.raises(DataError, match="has 2 channels, but its input is .*2, 3. uint8"):
        Standardize([0, 0], [1, 1])(IMAGES)
    with pytest.raises(ValueError, match="has a mean but no std. Give both, or neither"):
        Standardize([0])


def test_constructors_turn_hydra_containers_into_plain_ones() -> None:
    config = OmegaConf.create({"mean": [0, 1, 2], "std": [1, 2, 4]})
    made = Standardize(config.mean, config.std)
    assert type(made.mean) is np.ndarray
    assert repr(made) == "Standardize(mean=[0.0, 1.0, 2.0], std=[1.0, 2.0, 4.0])"
    assert repr(Scale(0.0625)) == "Scale(factor=0.0625, offset=0.0)"
    assert Reshape(OmegaConf.create([4, 6])).describe() == {"shape": [4, 6]}


@pytest.mark.parametrize("replicas", [1, 2])
def test_standardize_learns_from_the_training_split(
    strategy_of: Callable[[int], Any], replicas: int
) -> None:
    strategy = strategy_of(replicas)
    steps = Preprocessing({"twice": Scale(2.0), "standardize": Standardize()})
    with strategy.scope():
        spec = steps.fit(_cut(ROWS, 20, 33), SPEC)
    assert (spec.shape.as_list(), spec.dtype) == ([None, 3], tf.float32)
    x = 2 * ROWS.astype(np.float64)
    learnt = steps.describe()["standardize"]
    np.testing.assert_allclose(learnt["mean"], x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(learnt["std"], [*x.std(0)[:2], 0], rtol=1e-6)
    expected = (x - x.mean(0)) / [*x.std(0)[:2], np.inf]  # a feature that never varies gives 0

    @tf.function(autograph=False, jit_compile=replicas == 1)
    def run(x: tf.Tensor) -> Any:
        return strategy.run(steps.device, [x])

    for y in strategy.experimental_local_results(run(tf.constant(ROWS))):
        np.testing.assert_allclose(y, expected, atol=1e-5)
    assert {len(strategy.experimental_local_results(v)) for v in steps.variables} == {replicas}
    assert not steps.trainable_variables


def test_what_is_learnt_is_in_a_checkpoint(tmp_path: Path) -> None:
    learnt, fresh = (Preprocessing({"standardize": Standardize()}) for _ in range(2))
    learnt.fit(_cut(ROWS), SPEC)
    fresh.fit(_cut(ROWS[:9]), SPEC)
    path = tf.train.Checkpoint(preprocess=learnt).save(str(tmp_path / "ckpt"))
    tf.train.Checkpoint(preprocess=fresh).restore(path).assert_existing_objects_matched()
    assert fresh.describe() == learnt.describe()
    np.testing.assert_array_equal(fresh(ROWS), learnt(ROWS))


def test_an_example_of_one_number_has_one_mean() -> None:
    steps = Preprocessing({"standardize": Standardize()})
    steps.fit(_cut(ROWS[:, 1], 7), tf.TensorSpec([None], tf.float32))
    y = steps(ROWS[:, 1]).numpy()
    np.testing.assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-5)


def test_standardize_says_what_it_cannot_learn_from() -> None:
    wrong = ROWS.copy()
    wrong[3, 1] = np.inf
    for batches, problem in (
        (_cut(wrong), "its input has values that are not finite, in the features 1"),
        (lambda: iter([]), "was given no example to take its statistics from"),
    ):
        with pytest.raises(DataError) as error:
            Preprocessing({"unit": Standardize()}).fit(batches, SPEC)
        assert str(error.value) == f"dataset.preprocess.unit: {problem}"
    with pytest.raises(DataError, match="unit: it was not fitted to the training split yet"):
        Preprocessing({"unit": Standardize()})(ROWS)


# Images and shapes -------------------------------------------------------------------------------


def test_resize_keeps_the_stored_dtype() -> None:
    x = np.array([[0, 100], [200, 255]], np.uint8).reshape(1, 2, 2, 1)
    y = Resize(4, 4)(x)
    assert y.dtype == tf.uint8
    np.testing.assert_array_equal(y[0, 0, :, 0], [0, 25, 75, 100])
    np.testing.assert_array_equal(Resize(1, 1)(x)[0, 0], [[139]])  # 138.75, not cut off to 138
    step = np.array([0, 0, 255, 255], np.uint8).reshape(1, 1, 4, 1)
    wide = Resize(1, 16, "bicubic")(step).numpy()[0, 0, :, 0]
    assert (np.diff(wide[2:-2].astype(int)) >= 0).all()  # beyond 255, 0 would come again
    assert Resize(3, 3)(x.astype(np.float32)).dtype == tf.float32
    np.testing.assert_array_equal(
        Resize(4, 2, "nearest")(x)[0, :, :, 0], [[0, 100], [0, 100], [200, 255], [200, 255]]
    )


def test_making_smaller_smooths() -> None:
    stripes = np.tile(np.array([0, 255, 255, 0] * 4, np.uint8)[None, None, :, None], [1, 16, 1, 1])
    assert Resize(4, 4)(stripes).numpy().max() < 180  # else it takes the two in the middle: 255


def test_images_of_any_size_get_one() -> None:
    steps = Preprocessing({"size": Resize(4, 6), "scale": Scale(1 / 255)})
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8)
    between = steps.host.fit(lambda: iter([IMAGES]), spec)
    assert (between.shape.as_list(), between.dtype) == ([None, 4, 6, 3], tf.uint8)
    after = steps.device.fit(lambda: iter([steps.host(IMAGES)]), between)
    assert (after.shape.as_list(), after.dtype) == ([None, 4, 6, 3], tf.float32)


def test_a_step_of_the_device_learns_from_what_the_host_has_made() -> None:
    x = np.random.RandomState(1).uniform(size=(5, 8, 8, 2)).astype(np.float32)
    steps = Preprocessing({"size": Resize(2, 2), "standardize": Standardize()})
    steps.fit(_cut(x, 2), tf.TensorSpec([None, None, None, 2]))
    y = steps(x).numpy().reshape(-1, 2)
    np.testing.assert_allclose([y.mean(0), y.std(0)], [[0, 0], [1, 1]], atol=1e-5)


def test_reshape_and_pad() -> None:
    np.testing.assert_array_equal(Reshape([4, 3])(IMAGES), IMAGES.reshape(2, 4, 3))
    assert Reshape([2, -1])(IMAGES).shape == [2, 2, 6]
    x = np.arange(1, 7).reshape(1, 3, 2)
    np.testing.assert_array_equal(Pad(2)(x), x[:, :2])
    y = Pad(5, value=-1)(x)
    np.testing.assert_array_equal(y, [[[1, 2], [3, 4], [5, 6], [-1, -1], [-1, -1]]])
    assert y.dtype == tf.int64
    graph = tf.function(Pad(4), autograph=False)
    traced = graph.get_concrete_function(tf.TensorSpec([None, None], tf.float32))
    assert traced.structured_outputs.shape.as_list() == [None, 4]


# Several -----------------------------------------------------------------------------------------


def test_steps_apply_in_order_and_the_same_in_a_graph() -> None:
    steps = {"scale": Scale(2.0), "shift": Scale(1.0, offset=1.0)}
    np.testing.assert_array_equal(Preprocessing(steps)(IMAGES), 2.0 * IMAGES + 1)
    np.testing.assert_array_equal(
        Preprocessing(dict(reversed(steps.items())))(IMAGES), 2.0 * (IMAGES + 1.0)
    )
    chain = Preprocessing(steps)
    np.testing.assert_array_equal(tf.function(chain)(IMAGES), chain(IMAGES))


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_steps_small_integers_become_float_and_tokens_stay(nothing: dict | None) -> None:
    steps = Preprocessing(nothing)
    for dtype in (tf.uint8, tf.int8, tf.uint16, tf.int16, tf.bool, tf.float64, tf.float32):
        assert steps(tf.cast([0, 1], dtype)).dtype == tf.float32
        assert steps.host(tf.cast([0, 1], dtype)).dtype == dtype  # small where it is kept
    for dtype in (tf.int32, tf.int64, tf.float16, tf.bfloat16):
        assert steps(tf.cast([0, 1], dtype)).dtype == dtype


def test_the_host_has_the_steps_up_to_its_last() -> None:
    steps = Preprocessing(
        {"scale": Scale(2.0), "size": Resize(1, 1), "shift": Scale(1.0, 1.0), "cast": tf.square}
    )
    assert list(steps.host.steps) == ["scale", "size"]
    assert list(steps.device.steps) == ["shift", "cast"]
    x = IMAGES[:1, :1, :1]
    np.testing.assert_array_equal(steps.host(x), 2.0 * x)
    np.testing.assert_array_equal(steps(x), (2.0 * x + 1) ** 2)
    assert list(steps.describe()) == ["scale", "size", "shift", "cast"]
    assert json.loads(json.dumps(steps.describe()))["shift"] == {
        "step": "Scale",
        "factor": 1.0,
        "offset": 1.0,
    }


class _Counted(Step):
    """Adds the sum of the training split, as it comes to it."""

    def build(self, x: tf.TensorSpec) -> None:
        self.total = tf.Variable(tf.zeros(x.shape[1:]), trainable=False)

    def fit(self, batches: Callable[[], Any]) -> None:
        for x in batches():
            self.total.assign_add(tf.reduce_sum(x, 0))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return x + self.total


def test_a_step_learns_from_what_the_one_before_has_made() -> None:
    steps = Preprocessing({"a": _Counted(), "b": _Counted()})
    steps.fit(_cut(np.float32([[1], [2], [3]]), 2), tf.TensorSpec([None, 1]))
    assert steps.host.steps == {}
    np.testing.assert_array_equal(steps(np.float32([[1]])), [[1 + 6 + (6 + 3 * 6)]])


def test_an_exported_module_takes_raw_inputs(tmp_path: Path) -> None:
    class Served(tf.Module):
        def __init__(self, steps: Preprocessing) -> None:
            self.steps = steps

        @tf.function(input_signature=[SPEC], autograph=False)
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.steps(x)

    steps = Preprocessing({"standardize": Standardize()})
    steps.fit(_cut(ROWS), SPEC)
    tf.saved_model.save(Served(steps), str(tmp_path))
    again = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(again(ROWS), steps(ROWS))


TEXT = tf.TensorSpec([None], tf.string)


@pytest.mark.parametrize(
    ("steps", "spec", "problem"),
    [
        ({}, TEXT, "dataset.preprocess: its steps leave text, but a model takes numbers. End them"),
        (
            {"scale": Scale(1.0)},
            TEXT,
            "dataset.preprocess.scale: Scale takes numbers, but its input is text ([None] string). "
            "Put pipeline.data.preprocess.Tokens before it, or name another feature",
        ),
        (
            {"size": Resize(8, 8)},
            TEXT,
            "dataset.preprocess.size: Resize takes numbers, but its input is text",
        ),
        (
            {"size": Resize(8, 8)},
            SPEC,
            "dataset.preprocess.size: Resize takes images [b, height, width, channels], but its "
            "input is [None, 3] float32.",
        ),
        (
            {"scale": Scale(1.0)},
            {"age": TEXT, "sex": TEXT},
            "dataset.preprocess.scale: Scale takes one tensor, but dataset.inputs is a list, which "
            "gives 'age', 'sex'.",
        ),
        (
            {"text": Tokens("bytes", 8)},
            SPEC,
            "dataset.preprocess.text: Tokens takes text, but its input is [None, 3] float32.",
        ),
        (
            {"shape": Reshape([2, 2])},
            SPEC,
            "dataset.preprocess.shape: an example of 3 values [3] does not fit into the shape "
            "[2, 2]. Give a shape whose product is 3.",
        ),
        (
            {"pad": Pad(4)},
            tf.TensorSpec([None]),
            "dataset.preprocess.pad: Pad takes sequences [b, steps, ...], but its input is [None]",
        ),
    ],
)
def test_wrong_inputs_are_named(steps: dict, spec: Any, problem: str) -> None:
    with pytest.raises(DataError) as error:
        Preprocessing(steps).fit(lambda: iter([]), spec)
    assert str(error.value).startswith(problem)


def test_pad_does_not_cut_its_value_to_the_dtype() -> None:
    with pytest.raises(DataError, match=r"value=0.5 cannot fill whole numbers \(\[1, 1\] int32\)"):
        Pad(3, 0.5)(np.int32([[1]]))
    with pytest.raises(ValueError, match="sizes above 0, of which one may be -1, not"):
        Reshape([0, 3])
