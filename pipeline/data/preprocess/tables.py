"""Columns of tables, and classes, as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from layers.core.specs import describe
from pipeline.data.preprocess.step import Batches, Inputs, Step, require_numbers, require_rank
from pipeline.errors import DataError, did_you_mean

MOST_VALUES = 1000  # that a category may have if they are learnt; what has more is no category
_SHOWN = 10


@dataclass
class _Plan:
    """What becomes of each feature. A plain object: tf.Module would wrap the containers."""

    numbers: tuple[str, ...]
    given: dict[str, list[Any] | None]
    missing: dict[str, float]
    means: dict[str, float] = field(default_factory=dict)
    gaps: set[str] = field(default_factory=set)  # numbers that the training split lacks somewhere
    values: dict[str, np.ndarray] = field(default_factory=dict)


class Columns(Step):
    """Scalar features, a dict of ``[b]`` by name, as one float32 ``[b, d]``.

    First the numbers, in their order; then the categories, each as a one-hot of its values. A
    number that is missing (NaN) becomes the mean of the training split; where that lacks some as
    well, a column ``age missing`` follows the number's own, 1 for those and 0 else. ``describe``
    names the columns. A ``Standardize`` after this brings them to one scale.

    Args:
        numbers: names of features that are numbers or booleans.
        categories: names of features that are whole numbers, booleans or text, whose values are
            those of the training split, sorted; or a mapping of names to values (null: learnt).
        missing: name of a number to the value that stands for a missing one beside NaN, such as -1.
        unknown: what another value makes: ``zeros`` in every column of its category, or an
            ``error``.

    Raises:
        DataError: a feature is missing or of another kind, a category has more than 1,000 values,
            a number has none, or ``unknown`` is ``error`` and a value is not known.
    """

    host: ClassVar[bool] = True

    def __init__(
        self,
        numbers: Sequence[str] = (),
        categories: Sequence[str] | Mapping[str, Sequence[Any] | None] = (),
        missing: Mapping[str, float] | None = None,
        unknown: Literal["zeros", "error"] = "zeros",
    ) -> None:
        super().__init__()
        if unknown not in ("zeros", "error"):
            raise ValueError(f"Columns: unknown is 'zeros' or 'error', not {unknown!r}.")
        named = categories if isinstance(categories, Mapping) else dict.fromkeys(categories)
        given = {name: None if values is None else list(values) for name, values in named.items()}
        if not numbers and not given:
            raise ValueError("Columns needs names of features, as numbers or as categories.")
        for name in numbers:
            if name in given or list(numbers).count(name) > 1:
                raise ValueError(f"Columns names {name!r} twice; it can be one column only.")
        for name in missing or ():
            if name not in numbers:
                advice = did_you_mean(name, numbers)
                raise ValueError(f"Columns: missing has {name!r}, no number. {advice}")
        self.unknown = unknown
        self._plan = _Plan(tuple(numbers), given, dict(missing or {}))

    def build(self, x: Any) -> None:
        plan = self._plan
        if not isinstance(x, dict):
            raise DataError(
                f"{self.label}: Columns takes several features, but dataset.inputs is one "
                f"({describe(x)}). Write it as a list: dataset.inputs=[{', '.join(self._names())}]."
            )
        for name in self._names():
            if name not in x:
                raise DataError(
                    f"{self.label}: {name!r} is not among dataset.inputs. {did_you_mean(name, x)}"
                )
        for name, spec in x.items():
            if name not in self._names():
                raise DataError(
                    f"{self.label}: dataset.inputs has {name!r}, which is neither in numbers nor "
                    "in categories. Add it to one of them, or take it out of dataset.inputs."
                )
            if spec.shape.rank != 1:
                raise DataError(
                    f"{self.label}: {name!r} is no single value but {describe(spec)}. Columns "
                    "takes scalar features; take it out of dataset.inputs."
                )
            if name in plan.numbers and spec.dtype == tf.string:
                raise DataError(
                    f"{self.label}: {name!r} is text, which is no number. Name it in categories."
                )
            if name in plan.given and spec.dtype.is_floating:
                raise DataError(
                    f"{self.label}: {name!r} is {spec.dtype.name}, which is no category. Name it "
                    "in numbers."
                )
        plan.values = {
            name: self._checked(name, values, x[name].dtype)
            for name, values in plan.given.items()
            if values is not None
        }

    def fit(self, batches: Batches) -> None:
        plan = self._plan
        learnt: dict[str, set[Any]] = {n: set() for n, given in plan.given.items() if given is None}
        if not plan.numbers and not learnt:
            return
        totals, counts = dict.fromkeys(plan.numbers, 0.0), dict.fromkeys(plan.numbers, 0)
        for x in batches():
            for name in plan.numbers:
                column, absent = (part.numpy() for part in self._number(name, x))
                there = column[~absent].astype(np.float64)
                totals[name] += float(there.sum())
                counts[name] += len(there)
                if absent.any():
                    plan.gaps.add(name)
            for name, values in learnt.items():
                values.update(x[name].numpy().tolist())
                if len(values) > MOST_VALUES:
                    raise DataError(
                        f"{self.label}: {name!r} has more than {MOST_VALUES:,} values in the "
                        "training split, too many for a category. Leave it out, or give the values "
                        "to tell apart as a mapping: categories: {name: [values]}."
                    )
        for name, count in counts.items():
            if not count:
                raise DataError(f"{self.label}: {name!r} has no number in the training split.")
        plan.means = {name: totals[name] / count for name, count in counts.items()}
        plan.values |= {name: _array(sorted(values)) for name, values in learnt.items()}

    def __call__(self, x: Inputs) -> tf.Tensor:
        plan = self._plan
        columns: list[tf.Tensor] = []
        for name in plan.numbers:
            number, absent = self._number(name, x)
            columns.append(tf.where(absent, np.float32(plan.means[name]), number)[:, tf.newaxis])
            if name in plan.gaps:
                columns.append(tf.cast(absent, tf.float32)[:, tf.newaxis])
        columns += [self._one_hot(name, tf.convert_to_tensor(x[name])) for name in plan.given]
        return tf.concat(columns, axis=1)

    def describe(self) -> dict[str, Any]:
        plan = self._plan
        values = {name: _plain(plan.values[name]) for name in plan.given if name in plan.values}
        names: list[str] = []
        for name in plan.numbers:
            names += [name, f"{name} missing"] if name in plan.gaps else [name]
        names += [f"{name}={value}" for name, known in values.items() for value in known]
        means = {name: plan.means[name] for name in plan.numbers if name in plan.means}
        return {"columns": names, "means": means, "values": values}

    def _number(self, name: str, x: Inputs) -> tuple[tf.Tensor, tf.Tensor]:
        """The number in float32, and where it is missing: ``[b]`` each."""
        number = tf.cast(x[name], tf.float32)
        absent = tf.math.is_nan(number)
        if name in self._plan.missing:
            absent |= number == np.float32(self._plan.missing[name])
        return number, absent

    def _names(self) -> list[str]:
        return [*self._plan.numbers, *self._plan.given]

    def _checked(self, name: str, values: list[Any], dtype: tf.DType) -> np.ndarray:
        """The values that the config gives, in the dtype of the feature."""
        kind: tuple[type, ...] = (str,) if dtype == tf.string else (bool,)
        kind = (int,) if dtype.is_integer else kind
        for value in values:
            if not isinstance(value, kind) or isinstance(value, bool) != (dtype == tf.bool):
                raise DataError(
                    f"{self.label}.categories.{name}: {value!r} is given, but the feature holds "
                    f"{dtype.name}."
                )
        if len(set(values)) < len(values) or not values:
            raise DataError(f"{self.label}.categories.{name}: give each value once, at least one.")
        return _array([v.encode() if isinstance(v, str) else v for v in values])

    def _one_hot(self, name: str, x: tf.Tensor) -> tf.Tensor:
        is_value = tf.equal(x[:, tf.newaxis], tf.constant(self._plan.values[name], x.dtype))
        if self.unknown == "error":
            known = tf.reduce_any(is_value, axis=1)
            if tf.executing_eagerly():
                if not tf.reduce_all(known):
                    raise DataError(self._not_known(name, repr(_plain(x[~known].numpy())[0])))
            else:
                unknown = tf.boolean_mask(x, ~known)
                message = self._not_known(name, "a value (see the end)")
                tf.debugging.Assert(tf.reduce_all(known), [message, unknown])
        return tf.cast(is_value, tf.float32)

    def _not_known(self, name: str, value: str) -> str:
        known = _plain(self._plan.values[name])
        listed = ", ".join(map(repr, known[:_SHOWN])) + (", …" if len(known) > _SHOWN else "")
        of = "the training split's" if self._plan.given[name] is None else "the given"
        return (
            f"{self.label}: {name!r} holds {value}, which is not among {of} {len(known)} values: "
            f"{listed}. List every value under {self.label}.categories.{name}, or set "
            f"{self.label}.unknown=zeros to give it none."
        )


class OneHot(Step):
    """Whole numbers ``[b, ...]`` in 0..classes-1 as float32 ``[b, ..., classes]``.

    Another number gives zeros.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = int(classes)

    def __call__(self, x: Inputs) -> tf.Tensor:
        return tf.one_hot(_whole(self, x), self.classes)

    def describe(self) -> dict[str, Any]:
        return {"classes": self.classes}


class MultiHot(Step):
    """Lists of whole numbers ``[b, n]``, any n, as float32 ``[b, classes]``: 1 for each listed.

    A number that occurs twice counts once; one outside of 0..classes-1 (-1 may fill a list up)
    not at all.
    """

    host: ClassVar[bool] = True

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = int(classes)

    def __call__(self, x: Inputs) -> tf.Tensor:
        x = _whole(self, x)
        require_rank(self, x, 2, "lists of whole numbers [b, n]")
        return tf.minimum(tf.reduce_sum(tf.one_hot(x, self.classes), axis=1), 1.0)

    def describe(self) -> dict[str, Any]:
        return {"classes": self.classes}


def _whole(step: Step, x: Any) -> tf.Tensor:
    x = require_numbers(step, x)
    if not x.dtype.is_integer:
        raise DataError(
            f"{step.label}: {type(step).__name__} takes whole numbers, but its input is "
            f"{describe(x)}."
        )
    return x if x.dtype in (tf.uint8, tf.int8, tf.int32, tf.int64) else tf.cast(x, tf.int32)


def _array(values: list[Any]) -> np.ndarray:
    return np.array(values, object if values and isinstance(values[0], bytes) else None)


def _plain(values: np.ndarray) -> list[Any]:
    return [v.decode(errors="replace") if isinstance(v, bytes) else v for v in values.tolist()]
