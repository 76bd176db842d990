"""From serialized examples to tensors, many at once: what TFDS does for one example after another.

``tf.io.parse_example`` reads whole batches where what is stored has a shape. TFDS's own decoding is
called only where something is packed: images, compressed tensors, sequences of unknown length.
Where examples lie, and which are read, is ``records.py``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.features import FeatureConnector, TensorInfo

from pipeline.errors import DataError, did_you_mean

_TURN = 16  # examples that one turn of a loop decodes: short work costs less than the turn


class Decoder:
    """Decodes the features at ``paths``, and nothing else of an example.

    Args:
        builder: whose ``info.features`` say how examples are stored.
        paths: a feature's name, ``a/b`` for feature b of the nested feature a.

    Attributes:
        spec: what one example holds, by path; None for a size that TFDS leaves open.
        even: whether TFDS declares all sizes, so that examples make a batch.

    Raises:
        DataError: there is no such feature, or it is no tensor.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, paths: Sequence[str]) -> None:
        infos = _flat(builder.info.features.get_tensor_info())
        for path in paths:
            if path not in infos:
                raise DataError(
                    f"{builder.info.full_name} has no feature {path!r}. {did_you_mean(path, infos)}"
                )
            if infos[path].sequence_rank > 1:
                raise DataError(
                    f"Feature {path!r} of {builder.info.full_name} is a sequence of sequences, "
                    "which are of many lengths and make no tensor. Use another feature."
                )
        self.spec: dict[str, tf.TensorSpec] = {path: infos[path].to_tensor_spec() for path in paths}
        self.even = all(spec.shape.is_fully_defined() for spec in self.spec.values())
        self._features = _subset(builder.info.features, paths)
        leaves = _leaves(self._features)
        self._leaves = {path: leaves[path] for path in paths if _has_stored_shape(leaves.get(path))}
        self._compiled = tf.function(
            self.batch, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
        )

    def __call__(self, serialized: np.ndarray) -> dict[str, np.ndarray]:
        """``batch`` of bytes, object [n], as arrays; computed on the CPU.

        Raises:
            tf.errors.InvalidArgumentError, tf.errors.DataLossError: an example cannot be decoded,
                or they differ in size.
        """
        with tf.device("CPU:0"):
            tensors = self._compiled(tf.convert_to_tensor(serialized, tf.string))
            return {path: tensor.numpy() for path, tensor in tensors.items()}

    def example(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """One example, string []: its tensors by path. May be part of a graph."""
        decoded = _flat(self._features.deserialize_example(serialized))
        return {path: decoded[path] for path in self.spec}

    def batch(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Examples of one size, string [n]: tensors [n, ...] by path. May be part of a graph."""
        if len(self._leaves) < len(self.spec):
            return each(self.example, serialized, self.spec)
        stored = tf.io.parse_example(
            serialized, {path: self._features.tf_example_spec[path] for path in self.spec}
        )
        return {
            path: self._unpacked(path, tf.cast(stored[path], leaf.get_serialized_info().tf_dtype))
            for path, leaf in self._leaves.items()
        }

    def _unpacked(self, path: str, stored: tf.Tensor) -> tf.Tensor:
        leaf = self._leaves[path]
        return stored if _is_plain(leaf) else each(leaf.decode_example, stored, self.spec[path])


def each(function: Callable[[tf.Tensor], Any], x: tf.Tensor, spec: Any) -> Any:
    """``function`` of every row of x, stacked: what ``tf.map_fn`` does, in fewer, longer turns.

    Args:
        function: from a tensor [...] to a nest of tensors, without state.
        x: [n, ...].
        spec: of what ``function`` returns. Where a size is open, it is ``tf.map_fn`` that runs.
    """
    if not all(one.shape.is_fully_defined() for one in tf.nest.flatten(spec)):
        return tf.map_fn(function, x, fn_output_signature=spec)
    rows = tf.shape(x)[0]
    filled = tf.concat([x, tf.repeat(x[-1:], -rows % _TURN, axis=0)], axis=0)

    def turn(block: tf.Tensor) -> Any:
        # Not tf.unstack: of the same output of it stacked twice, TensorFlow's graph optimizer makes
        # its first output stacked twice.
        results = [function(block[i]) for i in range(_TURN)]
        return tf.nest.map_structure(lambda *values: tf.stack(values), *results)

    blocks = tf.map_fn(
        turn,
        tf.reshape(filled, tf.concat([[-1, _TURN], tf.shape(x)[1:]], axis=0)),
        fn_output_signature=tf.nest.map_structure(
            lambda one: tf.TensorSpec([_TURN, *one.shape], one.dtype), spec
        ),
    )
    return tf.nest.map_structure(
        lambda block, one: tf.reshape(block, [-1, *one.shape])[:rows], blocks, spec
    )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by their path."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    start = f"{prefix}/" if prefix else ""
    return {
        path: leaf
        for name, branch in tree.items()
        for path, leaf in _flat(branch, start + name).items()
    }


def _subset(feature: FeatureConnector, paths: Sequence[str]) -> FeatureConnector:
    """The feature with nothing in it that ``paths`` do not need, as far as plain nesting goes."""
    if type(feature) is not tfds.features.FeaturesDict:  # those that derive from it decode whole
        return feature
    within = {
        name: [p[len(name) + 1 :] for p in paths if f"{p}/".startswith(f"{name}/")]
        for name in feature
    }
    return tfds.features.FeaturesDict(
        {name: _subset(feature[name], rest) for name, rest in within.items() if rest}
    )


def _leaves(feature: FeatureConnector, prefix: str = "") -> dict[str, FeatureConnector]:
    """The features in plain nesting by their path."""
    if type(feature) is not tfds.features.FeaturesDict:
        return {prefix: feature}
    start = f"{prefix}/" if prefix else ""
    return {
        path: leaf
        for name in feature
        for path, leaf in _leaves(feature[name], start + name).items()
    }


def _has_stored_shape(leaf: FeatureConnector | None) -> bool:
    stored = leaf and leaf.get_serialized_info()
    return isinstance(stored, TensorInfo) and None not in stored.shape


def _is_plain(leaf: FeatureConnector) -> bool:
    """Whether it is stored as it is, so that TFDS's decoding changes nothing."""
    while type(leaf) is tfds.features.Sequence:
        leaf = leaf.feature
    if not isinstance(leaf, tfds.features.Tensor):
        return False
    own, stored = leaf.get_tensor_info(), leaf.get_serialized_info()
    return type(leaf).decode_example is tfds.features.Tensor.decode_example and (
        own.shape,
        own.np_dtype,
    ) == (stored.shape, stored.np_dtype)
