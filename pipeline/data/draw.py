"""Random numbers for a batch that is worked on in parts, the same however it is parted.

What an example gets depends on the key (seed and step), on what the numbers are for, and on its
position in the global batch; not on which replica or microbatch it is in. So each part draws for
the whole batch and keeps its own rows: cheap for a few numbers an example, and for as many numbers
as the batch has values the price of training alike on any number of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from layers.core.context import fold

_STEPS = 1 << 24  # float32 knows no finer steps in all of [0, 1)


class Draw:
    """Random numbers, row ``i`` of each for the example at ``positions[i]``.

    The same question has the same answer: what shall differ needs another name (``named``).

    Args:
        key: int64 [2], another in each step, the same on all replicas.
        positions: int32 [b], where in the global batch this part's examples are.
        batch: examples of the global batch.
        name: what the numbers are for.
    """

    def __init__(
        self, key: tf.Tensor, positions: tf.Tensor, batch: int, name: str = "augment"
    ) -> None:
        self.key = key
        self.positions = positions
        self.batch = int(batch)
        self.name = name

    def named(self, name: str) -> Draw:
        """Other numbers for the same examples, for what is called ``name`` within this."""
        return Draw(self.key, self.positions, self.batch, f"{self.name}/{name}")

    def uniform(self, shape: Sequence[int] = (), low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """float32 [b, *shape], uniform in [low, high)."""
        # From integers: of the same random bits XLA makes other fractions than TensorFlow does.
        fraction = tf.cast(self.integers(_STEPS, shape), tf.float32) / _STEPS
        return low + (high - low) * fraction

    def integers(self, high: int, shape: Sequence[int] = ()) -> tf.Tensor:
        """int32 [b, *shape], uniform in {0, ..., high - 1}."""
        whole = tf.random.stateless_uniform(
            [self.batch, *shape], fold(self.key, self.name), 0, high, tf.int32, alg="philox"
        )
        return tf.gather(whole, self.positions)

    def normal(self, shape: Sequence[int] = ()) -> tf.Tensor:
        """float32 [b, *shape], normal with mean 0 and deviation 1 (Box and Muller, 1958)."""
        count = int(np.prod(shape, dtype=np.int64))

        def pairs(draw: Draw) -> tf.Tensor:
            uniform = draw.uniform([2, -(-count // 2)])
            radius = tf.sqrt(-2.0 * tf.math.log(1.0 - uniform[:, 0]))  # of (0, 1], so finite
            angle = 2.0 * np.pi * uniform[:, 1]
            return tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)

        return tf.reshape(self.computed(pairs)[:, :count], [-1, *shape])

    def computed(self, make: Callable[[Draw], tf.Tensor]) -> tf.Tensor:
        """This part's rows of ``make``, which is given the numbers of the whole batch.

        For functions as the cosine and powers: the last bit of what they give may depend on how
        many numbers they are given at a time.
        """
        whole = Draw(self.key, tf.range(self.batch), self.batch, self.name)
        return tf.gather(make(whole), self.positions)
