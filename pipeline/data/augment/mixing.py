"""Augmentation that mixes examples, and their targets with them.

Position ``i`` of the batch is mixed with its neighbour ``i XOR 1``, which is on the same replica
and in the same microbatch as long as those hold an even number of examples. Batches are shuffled,
so the neighbour is as good as any other example.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from pipeline.data.augment import checks
from pipeline.data.augment.geometry import box, chosen
from pipeline.data.draw import Draw


class Mixed(NamedTuple):
    """Inputs, and how much of each example's target is its own.

    The loss of an example is ``share * loss(own target) + (1 - share) * loss(neighbour's)``.

    Attributes:
        x: ``[batch, ...]``, or several by name.
        share: float32 ``[batch]``; ``None`` where nothing was mixed.
    """

    x: Any
    share: Any


class MixUp:
    """Each example a weighted mean of itself and its neighbour (Zhang et al., 2018).

    ``[batch, ...]``, floating point; of several inputs all alike. The weight is drawn from
    Beta(alpha, alpha) for each example.

    Args:
        alpha: above 0; the larger, the more even the mixture. The paper has 0.1 to 0.4, on
            ImageNet, and 1 on CIFAR.
        probability: of an example to be mixed at all.
    """

    mixes = True

    def __init__(self, alpha: float, probability: float = 1.0) -> None:
        self.alpha = checks.above_zero(self, "alpha", alpha)
        self.probability = checks.number(self, "probability", probability, 0, 1)

    def __call__(self, x: Any, draw: Draw) -> Mixed:
        share = _shares(draw, self.alpha, self.probability)

        def mixture(part: tf.Tensor) -> tf.Tensor:
            checks.floating(self, part)
            weight = tf.cast(tf.reshape(share, [-1, *[1] * (part.shape.rank - 1)]), part.dtype)
            return weight * part + (1.0 - weight) * neighbours(part)

        return Mixed(tf.nest.map_structure(mixture, x), share)

    def __repr__(self) -> str:
        return f"MixUp(alpha={self.alpha}, probability={self.probability})"


class CutMix:
    """A box of each image replaced by the same place of its neighbour (Yun et al., 2019).

    ``[batch, height, width, channels]``. The box takes a share of the area that is drawn from
    Beta(alpha, alpha), less what of it lies outside; its middle is anywhere.

    Args:
        alpha: above 0; the paper has 1.
        probability: of an image to be mixed at all; the paper has 0.5 on CIFAR and 1 on ImageNet.
    """

    mixes = True

    def __init__(self, alpha: float = 1.0, probability: float = 1.0) -> None:
        self.alpha = checks.above_zero(self, "alpha", alpha)
        self.probability = checks.number(self, "probability", probability, 0, 1)

    def __call__(self, x: tf.Tensor, draw: Draw) -> Mixed:
        height, width, _ = checks.images(self, x)
        side = tf.sqrt(1.0 - _shares(draw, self.alpha, self.probability))
        middle = draw.named("row").integers(height), draw.named("column").integers(width)
        edges = []
        for place, whole in zip(middle, (height, width), strict=True):
            half = tf.cast(side * whole, tf.int32) // 2
            edges.append((tf.maximum(place - half, 0), tf.minimum(place + half, whole)))
        (top, bottom), (left, right) = edges
        cut = chosen(box(height, width, top, left, bottom, right), neighbours(x), x)
        area = tf.cast((bottom - top) * (right - left), tf.float32)
        return Mixed(cut, 1.0 - area / (height * width))

    def __repr__(self) -> str:
        return f"CutMix(alpha={self.alpha}, probability={self.probability})"


def neighbours(x: tf.Tensor) -> tf.Tensor:
    """``x`` ``[batch, ...]`` with examples 0 and 1, 2 and 3, ... in each other's place.

    Raises:
        ValueError: an odd batch, or one whose size is not known.
    """
    batch = x.shape[0]
    if batch is None or batch % 2:
        raise ValueError(
            "MixUp and CutMix mix each example with its neighbour, so what a replica takes at a "
            f"time must be an even number of examples, not {batch}: make trainer.batch_size an "
            "even multiple of replicas times microbatches."
        )
    return tf.reshape(tf.reverse(tf.reshape(x, [batch // 2, 2, *x.shape[1:]]), [1]), x.shape)


def symmetric_beta(uniforms: tf.Tensor, alpha: float) -> tf.Tensor:
    """Of uniform numbers ``[batch, 2]`` numbers ``[batch]`` distributed as Beta(alpha, alpha).

    If T has Student's t distribution with 2 alpha degrees of freedom, then
    ``1/2 + T / (2 sqrt(2 alpha + T^2))`` has this one; T comes from two uniform numbers by Bailey's
    polar method (Math. Comp. 62, 1994; both in one line: Devroye, 1996). No rejection and no gamma
    function: TensorFlow's gamma numbers cannot be compiled by XLA.
    """
    power = (1.0 - uniforms[:, 0]) ** (1.0 / alpha)  # of (0, 1]
    cosine = tf.cos(2.0 * math.pi * uniforms[:, 1])
    # sqrt(2 alpha) times Student's T is cosine * sqrt(1 / power - 1), which may be infinite.
    ratio = cosine * tf.sqrt((1.0 - power) / (power + (1.0 - power) * cosine**2))
    return tf.clip_by_value(0.5 + 0.5 * ratio, 0.0, 1.0)  # rounding may lead a little beyond


def _shares(draw: Draw, alpha: float, probability: float) -> tf.Tensor:
    """How much of itself each example keeps, float32 [batch]."""
    share = draw.named("share").computed(lambda draw: symmetric_beta(draw.uniform((2,)), alpha))
    if probability == 1.0:
        return share
    return tf.where(draw.named("chosen").uniform() < probability, share, 1.0)
