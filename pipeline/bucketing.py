"""Whether data, task and model can do with ``dataset.buckets``, and the order that comes of them.

How batches are made is ``pipeline/data/buckets.py``'s; what a config alone can tell is
``preflight_dataset.py``'s.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from layers import Layer, LayerError
from pipeline.data.buckets import Bucketed, lengths_of
from pipeline.data.feed import Feed
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Pad
from pipeline.errors import ConfigError, DataError

_LOOKED_AT = 32  # examples whose answers are compared
_ROUNDING = 1e-3  # of the largest answer; bfloat16 is not looked at so closely

_log = logging.getLogger(__name__)


def bucketed(prepared: Prepared, buckets: Sequence[int], batch: int) -> Bucketed:
    """The order of training in which batches are of one bucket each.

    Raises:
        UserError: the examples are not held in memory, are no sequences with padding at their ends,
            or are none that could be cut.
    """
    _check_feed(prepared)
    inputs = _sequences(prepared)
    full = inputs.shape[1]
    if buckets[-1] > full:
        raise ConfigError(
            f"dataset.buckets: {buckets[-1]} is longer than the sequences, which have {full} "
            f"steps, padding included. Give lengths below {full}; what is longer is not cut."
        )
    steps = lengths_of(inputs, _padding(prepared))
    order = Bucketed(steps, sorted({*buckets, full}), batch)
    if order.lengths == (full,):
        raise ConfigError(
            f"dataset.buckets={list(buckets)}: no example of training is so short; the shortest "
            f"has {steps.min()} of {full} steps. Give longer buckets, or none."
        )
    return order


def _check_feed(prepared: Prepared) -> None:
    if prepared.is_streamed("train"):
        source = prepared.source
        raise DataError(
            "dataset.buckets looks at the length of every example before training, but split "
            f"{source.selection('train').name!r} is streamed: it takes "
            f"{source.megabytes('train'):,.2f} MiB, more than the {source.config.memory:,g} of "
            "dataset.memory. Use dataset.feed=resident, a larger dataset.memory, or no buckets."
        )


def _sequences(prepared: Prepared) -> np.ndarray:
    """All inputs of training, ``[n, length, ...]``."""
    examples, source = prepared.examples("train"), prepared.source
    inputs, frame = examples.inputs, prepared.frame
    if not isinstance(inputs, np.ndarray):
        raise ConfigError(
            "dataset.buckets cuts one array of sequences, and dataset.inputs="
            f"{source.config.inputs} gives several. Name one feature, without a list, or use no "
            "buckets."
        )
    if frame is not None or examples.targets is None:
        what = f"dataset.frame={type(frame).__name__}" if frame is not None else "the task"
        raise ConfigError(
            f"dataset.buckets cuts the inputs alone, and {what} predicts something at each of "
            "their steps. Use no buckets."
        )
    tokens = inputs.ndim == 2 and inputs.dtype.kind in "iu"
    if not tokens and inputs.ndim != 3:
        shape = "x".join(map(str, inputs.shape[1:])) or "a number"
        raise ConfigError(
            "dataset.buckets cuts sequences, which are whole numbers [length] or vectors [length, "
            f"features], but an example of {source.name} is {shape} {inputs.dtype}. Use no buckets."
        )
    spec = prepared.model_inputs
    if spec.shape.as_list()[1:2] != [inputs.shape[1]]:
        raise ConfigError(
            f"dataset.buckets cuts sequences of {inputs.shape[1]} steps, but dataset.preprocess "
            f"makes {spec.shape.as_list()[1:]} of them on the device. Use no buckets."
        )
    return inputs


def _padding(prepared: Prepared) -> float:
    """What sequences are filled up with."""
    pads = [s for s in prepared.preprocessing.host.steps.values() if isinstance(s, Pad)]
    return pads[-1].value if pads else 0


def check_lengths(model: Layer, prepared: Prepared, feed: Feed) -> None:
    """Raise ``ConfigError`` where the model cannot take each length to which batches are cut; warn
    where what it answers depends on the padding behind an example."""
    if not feed.lengths:
        return
    inputs = prepared.model_inputs
    full = inputs.shape[1]
    answers = {full: _traced(model, inputs, full)}
    for length in feed.lengths:
        try:
            answers[length] = answers.get(length) or _traced(model, inputs, length)
        except LayerError as error:
            raise ConfigError(
                f"dataset.buckets: the model takes sequences of {full} steps but not of {length}: "
                f"{error}. Use a model that takes any length, or no buckets."
            ) from error
        given, other = (answers[n].structured_outputs.shape.as_list() for n in (full, length))
        if given != other:
            raise ConfigError(
                f"dataset.buckets: the model gives {given} for {full} steps but {other} for "
                f"{length}, and what is predicted is one thing an example. Let a layer take all "
                "steps together (GlobalAvgPool1D, for one), or use no buckets."
            )
    _warn_of_padding(prepared, feed, answers[full], answers[feed.lengths[0]])


def _traced(model: Layer, inputs: tf.TensorSpec, length: int) -> Any:
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    shape = [None, length, *inputs.shape[2:]]
    return function.get_concrete_function(tf.TensorSpec(shape, inputs.dtype))


def _warn_of_padding(prepared: Prepared, feed: Feed, whole: Any, cut: Any) -> None:
    """By the answers to examples of the shortest bucket, with and without padding."""
    order = feed.order
    assert isinstance(order, Bucketed)
    rows = np.flatnonzero(order.numbers == 0)[:_LOOKED_AT]
    inputs = prepared.examples("train").inputs
    assert isinstance(inputs, np.ndarray)
    x = prepared.preprocessing.device(tf.constant(inputs[rows]))
    answers = [tf.cast(y, tf.float32).numpy() for y in (whole(x), cut(x[:, : feed.lengths[0]]))]
    differ, largest = np.abs(answers[0] - answers[1]).max(), np.abs(answers[0]).max()
    if differ > _ROUNDING * largest:
        _log.warning(
            "dataset.buckets: what the model answers depends on the padding behind an example: by "
            "up to %.2g, of %.2g at most, before training. It is trained with less padding than it "
            "is evaluated with; layers.Masked leaves padding out",
            differ,
            largest,
        )
