"""Stream feed: what does not fit on the device comes in chunks, each some steps' batches.

A chunk is read while the one before it is trained on. It has the very examples, in the very order,
that a resident feed would gather, so that both train to the same bits, and nothing is remembered
but the step number: whoever resumes begins with the chunk that the step is in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.data.feed import Feed
from pipeline.data.order import Order
from pipeline.data.reader import Reader

CHUNK_BYTES = 32 << 20  # at most, about; AHEAD + 2 of them are held at a time
CHUNK_EXAMPLES = 1 << 14  # at most: half a second's work, for which the first step waits
AHEAD = 2  # chunks that are read before they are needed


@dataclass(frozen=True)
class Chunk:
    """The batches of consecutive steps.

    Attributes:
        first: the first step, or in evaluation the first batch.
        data: what each replica holds of them.
    """

    first: int
    data: Any


class StreamFeed(Feed):
    """Batches of a split that lies on disk.

    Args:
        most: steps that a call into the graph takes at most.

    Attributes:
        steps: of a chunk.
        waited: seconds that training has waited for chunks.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        name: str,
        reader: Reader,
        batch: int,
        most: int,
        order: Order | None = None,
    ) -> None:
        example = reader.example()
        super().__init__(
            strategy,
            name,
            len(reader),
            batch,
            example.element_spec,
            weighted=example.weights is not None,
            order=order,
        )
        self.reader = reader
        each = max(1, example.nbytes // len(example))
        fitting = min(CHUNK_BYTES // each, CHUNK_EXAMPLES) // batch
        self.steps = max(1, min(most, fitting, self.evaluation_steps))  # at most about an epoch
        self.waited = 0.0
        self._example = example
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stream")
        self._coming: dict[tuple[int, int], Future[Chunk]] = {}  # by seed and number
        self._orders: dict[tuple[int, int], np.ndarray] = {}  # of epochs, by seed and epoch
        self._idle: Any = None

    # In graph ------------------------------------------------------------------------------------

    def order_of(self, orders: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        return orders  # the chunk's first step

    def training_indices(
        self, order: tf.Tensor, step: tf.Tensor, position: tf.Tensor, replica: Any
    ) -> tf.Tensor:
        start = tf.cast(step - order, tf.int32) * self.per_replica
        return start + tf.range(self.per_replica)

    def evaluation_indices(
        self, position: tf.Tensor, replica: Any, first: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        at = position * self.batch + replica * self.per_replica + tf.range(self.per_replica)
        mask = tf.cast(at < self.size, tf.float32)
        return (position - first) * self.per_replica + tf.range(self.per_replica), mask

    # Chunks --------------------------------------------------------------------------------------

    def most_from(self, step: int) -> int:
        """Steps to the end of the chunk that ``step`` is in."""
        return self.steps - step % self.steps

    def chunk(self, step: int, seed: int) -> Chunk:
        """The one that ``step`` is in. Those after it are read meanwhile.

        Raises:
            DataError: an example cannot be used.
        """
        number = step // self.steps
        wanted = [(seed, number + k) for k in range(AHEAD + 1)]
        for key in [key for key in self._coming if key not in wanted]:
            self._coming.pop(key).cancel()
        for key in wanted:
            if key not in self._coming:
                self._coming[key] = self._thread.submit(self._training_chunk, *key)
        begun = time.perf_counter()
        found = self._coming[wanted[0]].result()
        self.waited += time.perf_counter() - begun
        return found

    def idle(self) -> Chunk:
        """One of the right shape, to compile with."""
        if self._idle is None:
            rows = self.steps * self.per_replica
            self._idle = self.on_each_replica(
                lambda replica: tf.nest.map_structure(
                    lambda a: np.repeat(a[:1], rows, axis=0), self._example.arrays
                )
            )
        return Chunk(0, self._idle)

    def in_stored_order(self) -> Iterator[Chunk]:
        """All examples, for evaluation; the next chunk is read while one is used."""
        starts = range(0, self.evaluation_steps, self.steps)
        coming = [self._thread.submit(self._evaluation_chunk, first) for first in starts[:1]]
        for number in range(len(starts)):
            found = coming.pop().result()
            if number + 1 < len(starts):
                coming.append(self._thread.submit(self._evaluation_chunk, starts[number + 1]))
            yield found

    def close(self) -> None:
        """Read no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _training_chunk(self, seed: int, number: int) -> Chunk:
        first = number * self.steps
        rows = [self._batch(seed, step) for step in range(first, first + self.steps)]
        return Chunk(first, self._placed(np.stack(rows)))

    def _evaluation_chunk(self, first: int) -> Chunk:
        at = first * self.batch + np.arange(self.steps * self.batch)
        rows = np.minimum(at, self.size - 1).reshape([self.steps, self.batch])
        return Chunk(first, self._placed(rows))

    def _batch(self, seed: int, step: int) -> np.ndarray:
        """The indices of a step's examples."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if (seed, epoch) not in self._orders:
            while len(self._orders) > 1:  # an epoch's order is not needed when the next has begun
                self._orders.pop(next(iter(self._orders)))
            with tf.device("CPU:0"):
                self._orders[seed, epoch] = self.order(seed, epoch).numpy()
        return self._orders[seed, epoch][position * self.batch : (position + 1) * self.batch]

    def _placed(self, indices: np.ndarray) -> Any:
        """What each replica needs of the examples at ``indices``, [steps, batch]."""
        arrays = self.reader(indices.reshape(-1)).arrays

        def part(replica: int) -> Any:
            def own(array: np.ndarray) -> np.ndarray:
                by_replica = array.reshape(
                    [len(indices), self.replicas, self.per_replica, *array.shape[1:]]
                )
                return by_replica[:, replica].reshape([-1, *array.shape[1:]])

            return tf.nest.map_structure(own, arrays)

        return self.on_each_replica(part)
