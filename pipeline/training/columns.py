"""The numbers that a training step reports, and the points of the metric history made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.training.metrics import Metric, columns_of, values_of, width_of


class Columns(Sequence[str]):
    """The names of a step's row of numbers.

    In order: ``weight``, the sum of the examples' weights, where they have any; the sums of the
    task's metrics; the sums over examples of what layers publish; the gradient's norm; the
    learning rate.

    Args:
        metrics: that are reported in training.
        published: names of what is summed over examples, whatever their weights.
        batch: examples of a step.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        published: Sequence[str],
        batch: int,
        weighted: bool = False,
    ) -> None:
        self.metrics = metrics
        self.published = tuple(published)
        self.batch = batch
        self.weighted = weighted
        weight = ("weight",) if weighted else ()
        ends = ("gradient_norm", "learning_rate")
        self._names = (*weight, *columns_of(metrics), *self.published, *ends)

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        return self._names[at]

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._names == tuple(other)

    def point(self, sums: Sequence[float], steps: int, last: np.ndarray) -> dict[str, float]:
        """What the history says of ``steps`` steps.

        Args:
            sums: of their rows.
            last: the last row.
        """
        examples = steps * self.batch
        at = 1 if self.weighted else 0
        end = at + width_of(self.metrics)
        count = sums[0] if self.weighted else examples
        metrics = values_of(self.metrics, np.asarray(sums[at:end]), count, np)
        found = {f"train/{k}": float(v) for k, v in zip(self.metrics, metrics, strict=True)}
        found |= {
            f"train/{name}": total / examples
            for name, total in zip(self.published, sums[end:-2], strict=True)
        }
        found["train/gradient_norm"] = sums[-2] / steps
        found["train/learning_rate"] = float(last[-1])
        return found
