"""Images brought to one size."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import tensorflow as tf

from layers.core.specs import describe
from pipeline.data.preprocess.step import Inputs, Step, require_numbers
from pipeline.errors import DataError

Method = Literal["bilinear", "bicubic", "lanczos3", "area", "nearest"]


class Resize(Step):
    """Images ``[b, h, w, c]`` of any size to ``[b, height, width, c]``, the dtype kept.

    The two sides are scaled apart, so a picture of another shape is stretched. What is made smaller
    is smoothed first (``tf.image.resize`` with ``antialias``); whole numbers are rounded and kept
    within their dtype, so that stored images stay small.
    """

    host: ClassVar[bool] = True

    def __init__(self, height: int, width: int, method: Method = "bilinear") -> None:
        super().__init__()
        self.height, self.width = int(height), int(width)
        self.method = method

    def __call__(self, x: Inputs) -> tf.Tensor:
        x = require_numbers(self, x)
        if x.shape.rank not in (None, 4):
            raise DataError(
                f"{self.label}: Resize takes images [b, height, width, channels], but its input is "
                f"{describe(x)}."
            )
        y = tf.image.resize(x, [self.height, self.width], self.method, antialias=True)
        if not x.dtype.is_integer or y.dtype == x.dtype:
            return tf.cast(y, x.dtype)
        return tf.saturate_cast(tf.round(y), x.dtype)  # bicubic goes beyond what it is given

    def describe(self) -> dict[str, Any]:
        return {"height": self.height, "width": self.width, "method": self.method}
