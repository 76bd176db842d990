"""How many matrix products this machine can do: the most that dense layers can get out of it."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from workloads import PRODUCT

from contenders.base import Contender


class Products(Contender):
    """Products of 256x1024 by 1024x1024 in float32, each of the last one's result; a unit is 10."""

    loss = 0.0  # it trains nothing

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        rows, inner = PRODUCT
        # Products by such a matrix keep the size of the numbers.
        kernel = tf.random.stateless_normal([inner, inner], [0, 1], 0.0, 1 / math.sqrt(inner))
        x = tf.random.stateless_normal([rows, inner], [0, 2])

        def loop(count: tf.Tensor) -> tf.Tensor:
            return tf.while_loop(
                lambda done, _: done < count,
                lambda done, x: (done + 1, tf.linalg.matmul(x, kernel)),
                (tf.constant(0), x),
                parallel_iterations=1,
            )[1]

        self.loop = tf.function(loop, autograph=False)

    def train(self, units: int) -> int:
        self.loop(tf.constant(10 * units)).numpy()
        return 10 * units
