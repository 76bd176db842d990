"""The part of preprocessing that is done once, on the host, to the examples of a split."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.data.examples import BATCH, Arrays, in_batches
from pipeline.data.preprocess import Preprocessing
from pipeline.data.source import Source
from pipeline.data.splits import Split
from pipeline.errors import DataError


def on_host(
    preprocessing: Preprocessing, split: Split, source: Source, joins: bool = False
) -> Arrays:
    """The inputs of all examples as the device has them.

    Args:
        joins: examples of their own length are one sequence, joined.

    Raises:
        DataError: examples that differ in size.
    """
    if not preprocessing.host.steps:
        if split.inputs_are_uneven:
            raise sizes_differ(source, split.name)
        return split.inputs
    joins = joins and split.inputs_are_objects
    parts = [
        tf.nest.map_structure(lambda t: t.numpy(), preprocessing.host(batch))
        for batch in in_batches(split.inputs, 1 if joins else BATCH)
    ]
    if joins:
        return np.concatenate([part[0] for part in parts])
    try:
        return tf.nest.map_structure(lambda *own: np.concatenate(own), *parts)
    except ValueError as error:
        raise sizes_differ(source, split.name) from error


def sizes_differ(source: Source, where: str) -> DataError:
    """The error for examples that do not make one array."""
    config, info = source.config, source.builder.info
    shape = info.features[config.inputs].shape if isinstance(config.inputs, str) else ""
    return DataError(
        f"{config.inputs!r} of {info.full_name} differs in size from example to example "
        f"(split {where}; TFDS declares {shape}). A batch needs one size: add a step to "
        "dataset.preprocess that gives them one (pipeline.data.preprocess.Resize for images, "
        "Pad for sequences), or use a dataset whose examples share one."
    )
