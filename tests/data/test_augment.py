"""What every augmentation step keeps to, and several steps after each other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data import augment as steps
from pipeline.data.augment import Augmentation, Mixed, Only
from pipeline.data.draw import Draw

BATCH = 12  # parts of 6 and of 2: SIMD takes 4 or 8 at a time, and the rest by other code
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random([BATCH, 9, 6, 3], np.float32)
SERIES = RANDOM.standard_normal([BATCH, 20, 2], np.float32)
TOKENS = RANDOM.integers(0, 9, [BATCH, 40]).astype(np.int32)
STEPS = {
    "flip": (steps.Flip(True, True), IMAGES),
    "crop": (steps.Crop(3), IMAGES),
    "crop reflecting": (steps.Crop(3, "reflect"), IMAGES),
    "rotate": (steps.Rotate(30, fill=0.5), IMAGES),
    "colour": (steps.Colour(0.4, 0.4, 0.4), IMAGES),
    "colour of channels": (
        steps.Colour(0.4, 0.4, low=[0, -0.1, 0], high=[1, 1.1, 2]),
        IMAGES,
    ),
    "cutout": (steps.Cutout(4), IMAGES),
    "mixup": (steps.MixUp(0.4), IMAGES),
    "mixup of series": (steps.MixUp(1.0, probability=0.5), SERIES),
    "cutmix": (steps.CutMix(1.0, probability=0.8), IMAGES),
    "randaugment": (steps.RandAugment(2, 9), IMAGES),
    "randaugment of grey": (steps.RandAugment(1, 5), IMAGES[..., :1]),
    "time shift": (steps.TimeShift(5), SERIES),
    "token dropout": (steps.TokenDropout(0.3, 1), TOKENS),
    "noise": (steps.Noise(0.5), IMAGES),
}
every_step = pytest.mark.parametrize(("step", "x"), STEPS.values(), ids=STEPS)


def key(number: int) -> tf.Tensor:
    return tf.constant([0, number], tf.int64)


def run(step: Any, x: np.ndarray, number: int = 0, part: slice = slice(None)) -> Any:
    """The step on a part of the batch, as the training step calls it."""
    positions = tf.range(len(x), dtype=tf.int32)[part]
    return step(tf.constant(x[part]), Draw(key(number), positions, len(x)))


def values(found: Any) -> list[np.ndarray]:
    return [np.asarray(value) for value in (found if isinstance(found, Mixed) else [found])]


@every_step
@pytest.mark.parametrize("parts", [2, 6])
def test_replicas_and_microbatches_see_what_one_sees(step: Any, x: np.ndarray, parts: int) -> None:
    size = BATCH // parts
    found = [values(run(step, x, part=slice(i, i + size))) for i in range(0, BATCH, size)]
    for whole, pieces in zip(values(run(step, x)), zip(*found, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


@every_step
def test_each_step_is_another_and_is_repeatable(step: Any, x: np.ndarray) -> None:
    first, again, later = (values(run(step, x, number))[0] for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != later).any()
    assert (first != x).any()


@every_step
def test_shape_and_dtype_stay(step: Any, x: np.ndarray) -> None:
    dtypes = [tf.int64, tf.int32] if x.dtype == np.int32 else [tf.float32, tf.bfloat16, tf.float64]
    for dtype in dtypes:
        draw = Draw(key(0), tf.range(BATCH), BATCH)
        found = step(tf.cast(x, dtype), draw)
        found = found.x if isinstance(found, Mixed) else found
        assert (found.shape, found.dtype) == (x.shape, dtype)


@pytest.mark.slow
@every_step
def test_xla_computes_the_same(step: Any, x: np.ndarray) -> None:
    def call(x: tf.Tensor, key: tf.Tensor) -> Any:
        return step(x, Draw(key, tf.range(BATCH), BATCH))

    for compiled, plain, graph in zip(
        values(tf.function(call, jit_compile=True)(x, key(3))),
        values(run(step, x, 3)),
        values(tf.function(call)(x, key(3))),
        strict=True,
    ):
        np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(graph, plain, rtol=1e-5, atol=1e-5)


@every_step
def test_a_step_reads_as_it_is_made(step: Any, x: np.ndarray) -> None:
    made = eval(repr(step), {name: getattr(steps, name) for name in steps.__all__})
    np.testing.assert_array_equal(values(run(made, x))[0], values(run(step, x))[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: steps.Crop(-1), "Crop takes padding of at least 0, not -1."),
        (lambda: steps.Crop(1.5), "Crop takes padding as a whole number, not 1.5."),
        (lambda: steps.Crop(1, "wrap"), "Crop takes the mode 'zeros' or 'reflect', not 'wrap'."),
        (lambda: steps.Rotate(181), "Rotate takes degrees from 0 to 180, not 181."),
        (lambda: steps.Rotate("a lot"), "Rotate takes degrees from 0 to 180, not 'a lot'."),
        (lambda: steps.Colour(2), "Colour takes brightness from 0 to 1, not 2."),
        (lambda: steps.Colour(1, low=1), "Colour takes a low below high, not 1 and 1.0."),
        (
            lambda: steps.Colour(1, low=[0, 0, 0], high=[1, 1]),
            "low has 3 and high 2.",
        ),
        (lambda: steps.MixUp(0), "MixUp takes alpha above 0, not 0."),
        (lambda: steps.CutMix(1, 1.5), "CutMix takes probability from 0 to 1, not 1.5."),
        (lambda: steps.RandAugment(0), "RandAugment takes count of at least 1, not 0."),
        (lambda: steps.RandAugment(1, 11), "takes magnitude from 0 to 10, not 11."),
        (lambda: steps.Noise(float("nan")), "Noise takes deviation of at least 0, not nan."),
        (lambda: steps.Noise(float("inf")), "Noise takes deviation of at least 0, not inf."),
        (lambda: steps.TokenDropout(0.1, -1), "TokenDropout takes token of at least 0, not -1."),
        (lambda: Only("image", steps.MixUp(1)), "MixUp(alpha=1.0, probability=1.0) mixes"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("step", "x", "message"),
    [
        (steps.Flip(), SERIES, "Flip takes images [batch, height, width, channels]"),
        (steps.Rotate(5), (IMAGES * 255).astype(np.uint8), "its input is uint8: put a Scale"),
        (steps.Crop(6, "reflect"), IMAGES, "at most 5 pixels of images of 9x6, but padding is 6"),
        (steps.Colour(saturation=1), IMAGES[..., :1], "its input has 1 (shape (12, 9, 6, 1))"),
        (steps.Colour(1, low=[0, 0]), IMAGES, "has 2 values for low, but its input has 3"),
        (steps.TimeShift(20), SERIES, "series of 20 steps by at most 19, but most is 20"),
        (steps.TokenDropout(0.5, 1), SERIES, "integers [batch, time] of one length, but its"),
        (steps.MixUp(1), IMAGES[:7], "must be an even number of examples, not 7: make trainer."),
        (steps.CutMix(1), IMAGES[:3], "must be an even number of examples, not 3"),
        (Only("image", steps.Flip()), IMAGES, "but an example has one"),
    ],
)
def test_what_a_step_cannot_take_is_refused(step: Any, x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        run(step, x)


def test_images_of_unknown_size_are_refused() -> None:
    @tf.function(input_signature=[tf.TensorSpec([4, None, None, 3])])
    def call(x: tf.Tensor) -> tf.Tensor:
        return steps.Flip()(x, Draw(key(0), tf.range(4), 4))

    with pytest.raises(ValueError, match="resizes them under dataset.preprocess"):
        call.get_concrete_function()


def test_zero_changes_nothing() -> None:
    for step in (
        steps.Flip(False),
        steps.Crop(0),
        steps.Rotate(0),
        steps.Cutout(0),
        steps.MixUp(1, probability=0),
        steps.CutMix(1, probability=0),
        steps.Noise(0),
    ):
        np.testing.assert_array_equal(values(run(step, IMAGES))[0], IMAGES, str(step))
    np.testing.assert_allclose(run(steps.Colour(), IMAGES), IMAGES, atol=1e-7)
    np.testing.assert_array_equal(run(steps.TimeShift(0), SERIES), SERIES)
    np.testing.assert_array_equal(run(steps.TokenDropout(0, 1), TOKENS), TOKENS)


def test_steps_follow_each_other_each_with_numbers_of_its_name() -> None:
    chain = Augmentation({"a": steps.Crop(2), "b": steps.Crop(2)}, BATCH, compiled=False)
    x, share = chain(tf.constant(IMAGES), key(0), tf.range(BATCH))
    assert share is None
    draw, crop = Draw(key(0), tf.range(BATCH), BATCH), steps.Crop(2)
    once = crop(tf.constant(IMAGES), draw.named("a"))
    np.testing.assert_array_equal(x, crop(once, draw.named("b")))
    same = crop(once, draw.named("a"))
    assert (x.numpy() != same.numpy()).any()


@pytest.mark.slow
def test_compiled_augmentation_is_alike_in_any_step_around_it(
    strategy_of: Callable[[int], Any],
) -> None:
    """Plain graph, XLA, and two replicas of one that is no XLA."""
    chosen = {"crop": steps.Crop(2), "rotate": steps.Rotate(9), "mix": steps.MixUp(0.4)}
    plain = Augmentation(chosen, BATCH, compiled=False)(
        tf.constant(IMAGES), key(5), tf.range(BATCH)
    )
    chain = Augmentation(chosen, BATCH)
    assert chain.mixes
    around = tf.function(chain, jit_compile=True)(IMAGES, key(5), tf.range(BATCH))
    strategy, half = strategy_of(2), BATCH // 2

    def replica(number: tf.Tensor) -> Mixed:
        context = tf.distribute.get_replica_context()
        positions = context.replica_id_in_sync_group * half + tf.range(half)
        return chain(tf.gather(IMAGES, positions), key(0) + number, positions)

    @tf.function
    def loop(last: tf.Tensor) -> Any:
        found = strategy.run(replica, (tf.constant([0, 0], tf.int64),))
        for step in tf.range(1, last + 1):
            found = strategy.run(replica, (tf.stack([tf.constant(0, tf.int64), step]),))
        return [strategy.experimental_local_results(part) for part in found]

    replicas = [tf.concat(part, 0) for part in loop(tf.constant(5, tf.int64))]
    for expected, one, two in zip(plain, around, replicas, strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-5)
        np.testing.assert_allclose(two, expected, atol=1e-5)


def test_no_steps_are_no_augmentation() -> None:
    chain = Augmentation({}, BATCH)
    x = tf.constant(IMAGES)
    assert chain(x, key(0), tf.range(BATCH)) == Mixed(x, None)
    assert not chain.mixes


def test_shares_of_two_mixing_steps_are_those_of_the_mixture() -> None:
    """On inputs that say whose they are, a share can be read off."""
    own = np.zeros([BATCH, BATCH], np.float32)
    np.fill_diagonal(own, 1)
    chain = Augmentation({"a": steps.MixUp(1), "b": steps.MixUp(1)}, BATCH, compiled=False)
    x, share = chain(tf.constant(own), key(0), tf.range(BATCH))
    np.testing.assert_allclose(share, np.diag(x), rtol=1e-5)
    theirs = x.numpy()[np.arange(BATCH), np.arange(BATCH) ^ 1]
    np.testing.assert_allclose(1 - share, theirs, atol=1e-6)


def test_one_of_several_inputs_is_changed() -> None:
    inputs = {"image": tf.constant(IMAGES), "age": tf.constant(SERIES)}
    flip = Only("image", steps.Flip())
    chain = Augmentation({"flip": flip}, BATCH, compiled=False)
    x, _ = chain(inputs, key(0), tf.range(BATCH))
    draw = Draw(key(0), tf.range(BATCH), BATCH).named("flip")
    np.testing.assert_array_equal(x["image"], steps.Flip()(tf.constant(IMAGES), draw))
    assert x["age"] is inputs["age"]
    assert repr(flip) == "Only(feature='image', step=Flip(horizontal=True, vertical=False))"


def test_several_inputs_are_mixed_alike() -> None:
    inputs = {"image": tf.constant(IMAGES), "age": tf.constant(SERIES)}
    chain = Augmentation({"mix": steps.MixUp(1)}, BATCH, compiled=False)
    x, share = chain(inputs, key(0), tf.range(BATCH))
    for name, values in (("image", IMAGES), ("age", SERIES)):
        weight = share.numpy().reshape([-1, *[1] * (values.ndim - 1)])
        expected = weight * values + (1 - weight) * values[np.arange(BATCH) ^ 1]
        np.testing.assert_allclose(x[name], expected, atol=1e-6)


def test_a_step_for_one_input_among_several_says_how_to_write_it() -> None:
    chain = Augmentation({"flip": steps.Flip()}, BATCH, compiled=False)
    inputs = {"image": tf.constant(IMAGES), "age": tf.constant(SERIES)}
    with pytest.raises(
        ValueError, match="Flip takes one input, but an example has age, image"
    ) as e:
        chain(inputs, key(0), tf.range(BATCH))
    assert "_target_: pipeline.data.augment.Only, feature: age" in str(e.value)
    chain = Augmentation({"flip": Only("imag", steps.Flip())}, BATCH, compiled=False)
    with pytest.raises(ValueError, match="Did you mean 'image'"):
        chain(inputs, key(0), tf.range(BATCH))


def test_values_out_of_the_range_are_found_before_they_are_cut_off() -> None:
    chain = Augmentation({"a": steps.Flip(), "b": steps.Colour(0.5)}, BATCH)
    chain.check(IMAGES)
    chain.check(np.float32([[[[-1e-4, 0.0, 1.0001]]]]))  # rounding is none
    standardized = (IMAGES - 0.5) * 4
    with pytest.raises(ValueError, match=r"Colour takes values from 0.0 to 1.0, but the images"):
        chain.check(standardized)
    random = Augmentation({"c": Only("image", steps.RandAugment(low=-2, high=[2, 2, 1]))}, BATCH)
    with pytest.raises(ValueError, match=r"from -2.0 to \[2.0, 2.0, 1.0\], but .* have \[-"):
        random.check({"image": standardized, "age": SERIES})
    random.check({"image": standardized / 2, "age": SERIES})
