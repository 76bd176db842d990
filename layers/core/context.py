"""What a layer may know of the step it is called in, and where it leaves what it has to report.

Replicas run in threads of their own, so the context is entered inside the replica's function and
is local to its thread.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class StepContext:
    """One training step on one replica, or one microbatch of it.

    ``key``: int64 [2], differs in each step, replica and microbatch. ``labels``: of the examples
    that this call is given. ``global_batch``: examples of the step over all replicas and
    microbatches. ``scale``: the schedule's factor. ``published``: sums over this call's examples,
    by ``path/name``; see ``Layer.publish``. ``keys_drawn``: how many random keys each layer, by its
    path, has been given.
    """

    key: tf.Tensor
    microbatch: tf.Tensor | int = 0
    microbatches: int = 1
    labels: Any = None
    global_batch: int | None = None
    scale: tf.Tensor | float = 1.0
    published: dict[str, tf.Tensor] = field(default_factory=dict)
    keys_drawn: dict[str, int] = field(default_factory=dict)


_local = threading.local()
_REPLICA_STRIDE = 0x1E3779B97F4A7C15
_MICROBATCH_STRIDE = 0x3F58476D1CE4E5B9


def step_context() -> StepContext | None:
    """The step that is being traced or run in this thread; ``None`` outside training."""
    return getattr(_local, "context", None)


@contextmanager
def training_step(
    *,
    seed: tf.Tensor | int,
    step: tf.Tensor | int,
    replica: tf.Tensor | int = 0,
    microbatch: tf.Tensor | int = 0,
    microbatches: int = 1,
    labels: Any = None,
    global_batch: int | None = None,
    scale: tf.Tensor | float = 1.0,
) -> Iterator[StepContext]:
    """Tell the layers that are called inside which training step it is.

    Random numbers are keyed by seed, step, replica and microbatch, and so repeatable. Layers that
    train themselves need ``labels`` and ``global_batch``; ``scale`` multiplies their learning rate.

    Args:
        microbatches: in how many equal parts each replica's examples come, one call each.
        labels: of the examples of this call, ``[batch, ...]``.
        global_batch: examples of the step, over all replicas and microbatches.
    """
    # Stateless random ops scramble their key, so distinct pairs give independent streams; odd
    # multiples of large constants (in int64, which wraps) keep the pairs of all replicas and
    # microbatches distinct.
    seed, step, replica, part = (
        tf.cast(value, tf.int64) for value in (seed, step, replica, microbatch)
    )
    key = tf.stack([seed + replica * _REPLICA_STRIDE, step + part * _MICROBATCH_STRIDE])
    outer = step_context()
    _local.context = StepContext(key, microbatch, microbatches, labels, global_batch, scale)
    try:
        yield _local.context
    finally:
        _local.context = outer


def fold(key: tf.Tensor, name: str) -> tf.Tensor:
    """A new key, int64 [2], for what is called ``name``."""
    digest = hashlib.sha256(name.encode()).digest()
    halves = [int.from_bytes(digest[i : i + 8], "little", signed=True) for i in (0, 8)]
    return key + tf.constant(halves, tf.int64)
