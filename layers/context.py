"""What a layer may know of the step it is called in: the key of its random numbers.

Replicas run in threads of their own, so the context is entered inside the replica's function and
is local to its thread.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class StepContext:
    """One training step on one replica. ``key``: int64 [2], differs in each step and replica."""

    key: tf.Tensor


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
) -> Iterator[StepContext]:
    """Make layers that draw random numbers repeatable: keyed by seed, step, replica, microbatch."""
    # Stateless random ops scramble their key, so distinct pairs give independent streams; odd
    # multiples of large constants (in int64, which wraps) keep the pairs of all replicas and
    # microbatches distinct.
    seed, step, replica, microbatch = (
        tf.cast(value, tf.int64) for value in (seed, step, replica, microbatch)
    )
    key = tf.stack([seed + replica * _REPLICA_STRIDE, step + microbatch * _MICROBATCH_STRIDE])
    outer = step_context()
    _local.context = StepContext(key=key)
    try:
        yield _local.context
    finally:
        _local.context = outer


def fold(key: tf.Tensor, name: str) -> tf.Tensor:
    """A new key, int64 [2], for what is called ``name``."""
    digest = hashlib.sha256(name.encode()).digest()
    halves = [int.from_bytes(digest[i : i + 8], "little", signed=True) for i in (0, 8)]
    return key + tf.constant(halves, tf.int64)
