"""Which of a dataset's features are a model's inputs, its target and the examples' weights.

Read from TFDS's own metadata, and checked against the config; no example is read here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.features import FeatureConnector

from pipeline.config import Dataset
from pipeline.errors import DataError, did_you_mean

ALONE = {"tokens", "inputs"}  # kinds of target that come out of the inputs


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        kind: ``class``, ``classes``, ``numbers``, or of ``ALONE``; see ``Task.needs``.
        paths: of the features; none of a kind in ``ALONE``, or where a frame makes the target.
        size: classes, or numbers; None where no feature says.
        names: of the classes or numbers.
    """

    kind: str
    paths: tuple[str, ...] = ()
    size: int | None = None
    names: tuple[str, ...] = field(default=(), repr=False)


def names_of(inputs: Any) -> tuple[str, ...]:
    """``dataset.inputs`` or ``dataset.target`` as names: it is one, several, or None."""
    if inputs is None:
        return ()
    return (inputs,) if isinstance(inputs, str) else tuple(map(str, inputs))


def inputs_of(
    builder: tfds.core.DatasetBuilder, config: Dataset
) -> tf.TensorSpec | dict[str, tf.TensorSpec]:
    """The spec of an example's inputs: numbers or text, one feature or several by name."""
    names = names_of(config.inputs)
    if not names:
        raise DataError("dataset.inputs: names no feature. " + _has(builder, _is_input))
    found = {name: _input(builder, config, name) for name in names}
    return found[names[0]] if isinstance(config.inputs, str) else found


def target_of(builder: tfds.core.DatasetBuilder, config: Dataset, needs: str) -> Target:
    """What a task that ``needs`` a kind of target predicts."""
    if needs in ALONE or (config.target is None and config.frame is not None):
        return Target(needs)
    names = names_of(config.target)
    if not names:
        raise DataError(
            f"dataset.target=null, but the task predicts {WANTED[needs][0]}. "
            + _has(builder, WANTED[needs][1])
        )
    if needs == "numbers":
        return _numbers(builder, config, names)
    if len(names) > 1:
        raise DataError(
            f"dataset.target={list(names)}: the task predicts {WANTED[needs][0]}, which one "
            "feature holds. Name one, or use task=regression."
        )
    return _classes(builder, config, names[0], needs)


def kind_of(builder: tfds.core.DatasetBuilder, config: Dataset) -> str:
    """The kind of target that ``dataset.target`` is, where no task says which it needs."""
    names = names_of(config.target)
    if not names:
        return "inputs"
    found = [feature(builder, "target", name) for name in names]
    fitting = (kind for kind, (_, fits) in WANTED.items() if all(map(fits, found)))
    return next(fitting, "class")


def weight_of(builder: tfds.core.DatasetBuilder, config: Dataset) -> str | None:
    """The feature with each example's weight, checked to be one number."""
    if config.weight is None:
        return None
    if not _is_number(feature(builder, "weight", config.weight)):
        raise DataError(
            f"dataset.weight={config.weight}: this feature of {builder.info.full_name} is not one "
            "number an example. " + _has(builder, _is_number)
        )
    return str(config.weight)


def feature(builder: tfds.core.DatasetBuilder, key: str, path: str) -> FeatureConnector:
    """The feature at ``path``, such as ``image`` or ``objects/label``; ``key`` names it so."""
    found: Any = builder.info.features
    for depth, part in enumerate(path.split("/")):
        inner = _inner(found)
        if part not in inner:
            above = "/".join(path.split("/")[:depth])
            within = f" in {above!r}" if above else ""
            raise DataError(
                f"dataset.{key}={path}: {builder.info.full_name} has no feature {part!r}{within}. "
                f"{did_you_mean(part, inner)}"
            )
        found = inner[part]
    return found


def value_at(example: Mapping[str, Any], path: str) -> Any:
    """What an example, or a batch, holds at ``path``."""
    value: Any = example
    for part in path.split("/"):
        value = value[part]
    return value


def nested(paths: Sequence[str]) -> dict[str, Any]:
    """``{"a": {"b": True}}`` of ``a/b``: what TFDS decodes in part."""
    found: dict[str, Any] = {}
    for path in paths:
        *above, last = path.split("/")
        at = found
        for part in above:
            at = at.setdefault(part, {})
        at[last] = True
    return found


# Inputs ------------------------------------------------------------------------------------------


def _input(builder: tfds.core.DatasetBuilder, config: Dataset, name: str) -> tf.TensorSpec:
    found = feature(builder, "inputs", name)
    spec = found.get_tensor_spec()
    if _is_input(found):
        return spec
    raise DataError(
        f"dataset.inputs={name}: this feature of {builder.info.full_name} is "
        f"{type(found).__name__}, but a model takes an image, text or another tensor. "
        + _has(builder, lambda other: _is_input(other), but=names_of(config.target))
    )


def _is_numeric(spec: object) -> bool:
    return isinstance(spec, tf.TensorSpec) and (
        spec.dtype.is_integer or spec.dtype.is_floating or spec.dtype.is_bool
    )


def _is_input(found: FeatureConnector) -> bool:
    spec = found.get_tensor_spec()
    return _is_numeric(spec) or (isinstance(spec, tf.TensorSpec) and spec.dtype == tf.string)


def _is_number(found: FeatureConnector) -> bool:
    spec = found.get_tensor_spec()
    return _is_numeric(spec) and spec.shape.rank == 0 and not _is_label(found)


# Targets -----------------------------------------------------------------------------------------


def _is_label(found: FeatureConnector) -> bool:
    return isinstance(found, tfds.features.ClassLabel)


def _is_labels(found: FeatureConnector) -> bool:
    return isinstance(found, tfds.features.Sequence) and _is_label(found.feature)


def _is_numbers(found: FeatureConnector) -> bool:
    return _is_numeric(found.get_tensor_spec()) and not _is_label(found) and not _is_labels(found)


WANTED: dict[str, tuple[str, Callable[[FeatureConnector], bool]]] = {
    "class": ("a class label", _is_label),
    "classes": ("a sequence of class labels", _is_labels),
    "numbers": ("numbers", _is_numbers),
}


def _classes(builder: tfds.core.DatasetBuilder, config: Dataset, name: str, needs: str) -> Target:
    """Of one or of several of the classes that the feature names."""
    found = feature(builder, "target", name)
    wanted, fits = WANTED[needs]
    if not fits(found):
        other = next((task for kind, task in _TASKS.items() if WANTED[kind][1](found)), None)
        raise DataError(
            f"dataset.target={name}: this feature of {builder.info.full_name} is "
            f"{type(found).__name__}, but {wanted} is needed. {_has(builder, fits)}"
            + (f" To predict {name!r}, use task={other}." if other else "")
        )
    label = found.feature if _is_labels(found) else found
    if config.classes is not None and config.classes != label.num_classes:
        raise DataError(
            f"dataset.classes={config.classes}, but {builder.info.full_name} has "
            f"{label.num_classes} classes in {name!r}. Set dataset.classes={label.num_classes}."
        )
    return Target(needs, (name,), label.num_classes, tuple(label.names))


_TASKS = {"class": "classification", "classes": "multi_label", "numbers": "regression"}


def _numbers(builder: tfds.core.DatasetBuilder, config: Dataset, names: tuple[str, ...]) -> Target:
    """Numbers of one feature, or of several, each of which is one."""
    specs = {}
    for name in names:
        found = feature(builder, "target", name)
        if not _is_numbers(found):
            what = type(found).__name__
            task = next((_TASKS[kind] for kind in _TASKS if WANTED[kind][1](found)), None)
            hint = f" To predict {name!r}, use task={task}." if task else ""
            raise DataError(
                f"dataset.target={name}: this feature of {builder.info.full_name} is {what}, but "
                f"numbers are needed. {_has(builder, _is_numbers)}{hint}"
            )
        specs[name] = found.get_tensor_spec()
        if len(names) > 1 and specs[name].shape.rank != 0:
            raise DataError(
                f"dataset.target={list(names)}: {name!r} is not one number an example, but of "
                f"shape {specs[name].shape.as_list()}. Several targets are one number each."
            )
    if len(names) > 1:
        return Target("numbers", names, len(names), names)
    shape = specs[names[0]].shape
    if shape.rank == 0:
        return Target("numbers", names, 1, names)
    return Target("numbers", names, shape[-1])


# What there is -----------------------------------------------------------------------------------


def _inner(found: Any) -> dict[str, FeatureConnector]:
    """The features that a feature is made of."""
    if isinstance(found, tfds.features.Sequence):
        found = found.feature
    return dict(found.items()) if isinstance(found, tfds.features.FeaturesDict) else {}


def _all(found: Any, path: str = "") -> Iterator[tuple[str, FeatureConnector]]:
    for name, inner in _inner(found).items():
        at = f"{path}/{name}" if path else name
        yield at, inner
        yield from _all(inner, at)


def _has(
    builder: tfds.core.DatasetBuilder,
    fits: Callable[[FeatureConnector], bool],
    but: Sequence[str] = (),
) -> str:
    """Those of the dataset's features that fit."""
    found = sorted(path for path, inner in _all(builder.info.features) if fits(inner))
    found = [path for path in found if path not in but]
    return f"It has {', '.join(found)}." if found else "This dataset has none."


def multi_hot(labels: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """``[n, classes]`` uint8, 1 where a label is among those of the example.

    A label outside of the classes is left to ``source.py``'s check: it is kept as 255.
    """
    found = np.zeros([len(labels), classes], np.uint8)
    for row, own in zip(found, labels, strict=True):
        own = np.asarray(own, np.int64)
        row[own[(own >= 0) & (own < classes)]] = 1
        if ((own < 0) | (own >= classes)).any():
            row[:] = 255
    return found
