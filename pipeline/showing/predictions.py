"""Examples of a split with what the model predicts of them, and where they are from, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.assembly import Assembly
from pipeline.data.examples import Examples
from pipeline.data.preprocess.chain import spec_after

MOST = 5000  # examples of a split that are looked at, from its beginning
BYTES = 256 << 20  # that they may take


def first(parts: Assembly, role: str, most: int = MOST) -> Examples:
    """The first ``most`` examples of a split, or as many as may be held."""
    example = parts.prepared.example(role)
    each = max(1, example.nbytes // max(1, len(example)))
    return next(parts.prepared.parts(role, max(1, min(most, BYTES // each))))


def predicted(parts: Assembly, found: Examples) -> tuple[np.ndarray, np.ndarray]:
    """The targets of examples, and what the weights that are evaluated predict: ``[n, ...]``."""

    @tf.function(autograph=False, reduce_retracing=True)
    def answer(inputs: Any) -> tuple[Any, tf.Tensor]:
        x = parts.prepared.preprocessing.device(inputs)
        return x, parts.task.predict(parts.model(x, training=False))

    size, done = parts.config.trainer.evaluation_batch_size, []
    with parts.trainer.evaluated_weights():
        for begin in range(0, len(found), size):
            batch = tf.nest.map_structure(
                lambda held, at=begin: tf.constant(held[at : at + size]), found.inputs
            )
            x, answers = answer(batch)
            targets = x if found.targets is None else found.targets[begin : begin + size]
            done.append((np.asarray(targets), answers.numpy()))
    truth, answered = (np.concatenate(column) for column in zip(*done, strict=True))
    return truth, answered


def count(parts: Assembly, role: str) -> int:
    """Examples of a split, as they are trained on."""
    prepared = parts.prepared
    return len(prepared.reader(role) if prepared.is_streamed(role) else prepared.examples(role))


def looked_at(parts: Assembly, role: str, shown: int) -> str:
    """``the first 5,000 of 60,000 examples``; nothing where they are all."""
    every = count(parts, role)
    return "" if shown == every else f"the first {shown:,} of {every:,} examples"


def title(parts: Assembly, role: str, shown: int) -> str:
    """Of a picture: which examples of which split are in it."""
    source, of = parts.source, looked_at(parts, role, shown) or f"{shown:,} examples"
    return f"{source.name}, {source.selection(role).name}: {of}"


def outputs(parts: Assembly) -> str:
    """What the exported model answers, such as ``[examples, 10]`` float32."""
    spec = spec_after(parts.task.predict, parts.output)
    sizes = ", ".join(["examples", *map(str, spec.shape.as_list()[1:])])
    return f"`[{sizes}]` {spec.dtype.name}"
