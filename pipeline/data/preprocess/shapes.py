"""Other shapes of the same values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from layers.core.specs import describe
from pipeline.data.preprocess.step import Inputs, Step, require_numbers, require_one, require_rank
from pipeline.errors import DataError


class Reshape(Step):
    """``[b, ...] -> [b, *shape]``, the values in their order. A frame sees what it leaves.

    Args:
        shape: of one example; one size may be -1, which is what the others leave.
    """

    host: ClassVar[bool] = True

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = np.asarray([int(size) for size in shape], np.int32)
        if (self.shape < -1).any() or (self.shape == 0).any() or (self.shape == -1).sum() > 1:
            raise ValueError(
                f"Reshape takes sizes above 0, of which one may be -1, not {list(shape)}."
            )

    def __call__(self, x: Inputs) -> tf.Tensor:
        x = require_one(self, x)
        sizes = x.shape[1:]
        known = math.prod(size for size in self.shape.tolist() if size > 0)
        if sizes.is_fully_defined():
            values = sizes.num_elements()
            if values % known if -1 in self.shape else values != known:
                raise DataError(
                    f"{self.label}: an example of {values} values {sizes.as_list()} does not fit "
                    f"into the shape {self.shape.tolist()}. Give a shape whose product is {values}."
                )
        return tf.reshape(x, [tf.shape(x)[0], *self.shape.tolist()])

    def describe(self) -> dict[str, Any]:
        return {"shape": self.shape.tolist()}


class Pad(Step):
    """Sequences ``[b, steps, ...]`` of any length, cut or filled at the end: ``[b, length, ...]``.

    A model finds the padding by its value, so take one that does not occur (0 among token ids).
    """

    host: ClassVar[bool] = True

    def __init__(self, length: int, value: float = 0) -> None:
        super().__init__()
        self.length = int(length)
        self.value = value

    def __call__(self, x: Inputs) -> tf.Tensor:
        x = require_numbers(self, x)
        require_rank(self, x, 2, "sequences [b, steps, ...]")
        value = tf.constant(self.value)
        if tf.cast(value, x.dtype).dtype.is_integer and self.value != int(self.value):
            raise DataError(
                f"{self.label}: value={self.value} cannot fill whole numbers ({describe(x)})."
            )
        x = x[:, : self.length]
        lacking = self.length - tf.shape(x)[1]
        paddings = [[0, 0], [0, lacking], *([[0, 0]] * (x.shape.rank - 2))]
        x = tf.pad(x, paddings, constant_values=tf.cast(value, x.dtype))
        return tf.ensure_shape(x, [None, self.length, *x.shape[2:]])

    def describe(self) -> dict[str, Any]:
        return {"length": self.length, "value": self.value}
