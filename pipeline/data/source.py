"""What a prepared TFDS dataset holds, checked against what the config says of it.

Names, versions and preparing are ``catalogue.py``'s, reading is ``splits.py``'s, batches and order
are ``feed.py``'s.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.features import FeatureConnector

from pipeline.config import Dataset
from pipeline.data.catalogue import (
    is_prepared,
    needs_no_download,
    not_prepared,
    open_builder,
    prepare,
)
from pipeline.data.splits import Split, read, sizes_differ
from pipeline.errors import DataError, did_you_mean

ROLES = ("train", "validation", "test")
ROWS = 4096  # looked at at once


@dataclass
class Source:
    """What a prepared dataset holds, and its splits on request.

    Attributes:
        folder: where this version lies on disk.
        shape: of one example of ``inputs``; None where TFDS leaves a size open.
        dtype: of the stored inputs, as NumPy names it.
        sizes: examples by role (train, validation, test).
    """

    name: str
    version: str
    folder: Path
    classes: int
    class_names: list[str]
    shape: tuple[int | None, ...]
    dtype: str
    description: str
    citation: str
    homepage: str
    license: str
    sizes: dict[str, int]
    config: Dataset = field(repr=False)
    builder: tfds.core.DatasetBuilder = field(repr=False)
    _read: dict[str, Split] = field(default_factory=dict, init=False, repr=False)

    def split(self, role: str) -> Split:
        """Read the split that the config gives ``role`` (train, validation or test).

        Raises:
            DataError: damaged files, examples that differ in size, labels outside the classes, or
                inputs that are NaN or infinite.
        """
        if role not in self._read:
            split = read(self.builder, str(getattr(self.config.splits, role)), self.config)
            _check_labels(split, self.classes)
            _check_finite(split, self.config.inputs)
            for other in self._read.values():
                if split.inputs.shape[1:] != other.inputs.shape[1:]:
                    raise sizes_differ(self.builder, self.config, f"{split.name}, {other.name}")
            self._read[role] = split
        return self._read[role]

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the splits read so far, by role."""
        lines = (f"{role}:{split.digest}\n" for role, split in sorted(self._read.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load(config: Dataset) -> Source:
    """Open a prepared dataset and check it against ``config``; reads no example yet.

    A builder that needs no download is prepared here, at its first use.

    Raises:
        DataError: not prepared, or it does not hold what ``config`` says.
    """
    builder = open_builder(config)
    if not is_prepared(builder):
        if not needs_no_download(builder):
            raise not_prepared(builder, config)
        prepare(config)
        builder = open_builder(config)

    info = builder.info
    inputs = _inputs_spec(builder, config)
    label = _class_label(builder, config)
    return Source(
        name=builder.name,
        version=str(builder.version),
        folder=Path(builder.data_dir),
        classes=label.num_classes,
        class_names=list(label.names),
        shape=tuple(inputs.shape.as_list()),
        dtype=inputs.dtype.name,
        description=info.description or "",
        citation=info.citation or "",
        homepage=info.homepage or "",
        license=info.redistribution_info.license or "",
        sizes={role: _size(builder, role, str(getattr(config.splits, role))) for role in ROLES},
        config=config,
        builder=builder,
    )


def _features(builder: tfds.core.DatasetBuilder) -> dict[str, FeatureConnector]:
    return dict(builder.info.features.items())


def _feature(
    builder: tfds.core.DatasetBuilder, key: str, name: str
) -> tfds.features.FeatureConnector:
    features = _features(builder)
    if name not in features:
        raise DataError(
            f"dataset.{key}={name}: {builder.info.full_name} has no feature {name!r}. "
            f"{did_you_mean(name, features)}"
        )
    return features[name]


def _inputs_spec(builder: tfds.core.DatasetBuilder, config: Dataset) -> tf.TensorSpec:
    """The spec of the inputs feature, which must be one numeric tensor."""
    spec = _feature(builder, "inputs", config.inputs).get_tensor_spec()
    if _is_numeric(spec):
        return spec
    numeric = [
        name
        for name, feature in _features(builder).items()
        if _is_numeric(feature.get_tensor_spec()) and name != config.target
    ]
    raise DataError(
        f"dataset.inputs={config.inputs}: this feature of {builder.info.full_name} is "
        f"{type(_features(builder)[config.inputs]).__name__}, but a model takes an image or "
        f"another numeric tensor. "
        + (f"It has {', '.join(numeric)}." if numeric else "This dataset has none.")
    )


def _is_numeric(spec: object) -> bool:
    return isinstance(spec, tf.TensorSpec) and (
        spec.dtype.is_integer or spec.dtype.is_floating or spec.dtype.is_bool
    )


def _class_label(builder: tfds.core.DatasetBuilder, config: Dataset) -> tfds.features.ClassLabel:
    """The target feature, which must be a class label with the number of classes configured."""
    feature = _feature(builder, "target", config.target)
    if not isinstance(feature, tfds.features.ClassLabel):
        labels = [
            name
            for name, other in _features(builder).items()
            if isinstance(other, tfds.features.ClassLabel)
        ]
        raise DataError(
            f"dataset.target={config.target}: this feature of {builder.info.full_name} is "
            f"{type(feature).__name__}, but a class label is needed. "
            + (f"It has {', '.join(labels)}." if labels else "This dataset has none.")
        )
    if config.classes is not None and config.classes != feature.num_classes:
        raise DataError(
            f"dataset.classes={config.classes}, but {builder.info.full_name} has "
            f"{feature.num_classes} classes in {config.target!r}. "
            f"Set dataset.classes={feature.num_classes}."
        )
    return feature


def _size(builder: tfds.core.DatasetBuilder, role: str, expression: str) -> int:
    """Examples that a split expression selects; it must parse and select at least one."""
    splits = builder.info.splits
    given = f"dataset.splits.{role}={expression}"
    for term in expression.split("+"):
        name = re.sub(r"\[.*", "", term).strip()
        if name != "all" and name not in splits:
            raise DataError(
                f"{given}: {builder.info.full_name} has no split {name!r}. "
                f"{did_you_mean(name, splits)}"
            )
    try:
        examples = splits[expression].num_examples
    except Exception as error:  # TFDS raises one kind or another for what it cannot parse
        reason = " ".join(str(error).split())
        raise DataError(
            f"{given} is not a split expression for {builder.info.full_name}: {reason} "
            "Write for example train, train[:90%], train[90%:], train[100:200] or train+test."
        ) from error
    if not examples:
        has = ", ".join(f"{name} {info.num_examples:,}" for name, info in sorted(splits.items()))
        raise DataError(f"{given} is empty: {builder.info.full_name} has {has} examples.")
    return examples


def _check_finite(split: Split, feature: str) -> None:
    """One such number in a batch makes every weight NaN at the next step."""
    if not np.issubdtype(split.inputs.dtype, np.floating):
        return
    axes = tuple(range(1, split.inputs.ndim))
    bad = np.concatenate(  # in pieces: the mask of all would take a quarter of the split's memory
        [
            first + np.flatnonzero(~np.isfinite(split.inputs[first : first + ROWS]).all(axis=axes))
            for first in range(0, len(split), ROWS)
        ]
    )
    if len(bad):
        first = int(bad[0])
        values = split.inputs[first]
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        whole = split.name.partition("+")[0].partition("[")[0]
        raise DataError(
            f"Split {split.name!r}: {feature!r} of example {first} holds {values[tuple(place)]}"
            f"{f' at {place}' if place else ''} ({len(bad):,} of {len(split):,} examples hold NaN "
            "or infinity). Mend the examples, or leave them out by a split expression such as "
            f"{whole}[{first + 1}:]."
        )


def _check_labels(split: Split, classes: int) -> None:
    outside = np.flatnonzero((split.labels < 0) | (split.labels >= classes))
    if len(outside):
        first = int(outside[0])
        raise DataError(
            f"Split {split.name!r}: the label of example {first} is {split.labels[first]}, outside "
            f"0..{classes - 1} ({len(outside):,} of {len(split):,} examples are). "
            "TFDS writes -1 where a dataset publishes no labels: use another split."
        )
