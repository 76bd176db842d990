"""How inputs and targets come out of examples whose target is no feature of its own.

These are the ``_target_`` of ``dataset.frame``; they run on what preprocessing left, and say with a
``ValueError`` what they cannot take, to which the caller adds the split. In which order the windows
are fed is the feed's business.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

Pair = tuple[Any, Any]


class NextToken:
    """At each place of a sequence, the token after it: ``[b, n] -> [b, n-1], [b, n-1]``.

    Every example is a sequence of its own, such as what ``Tokens`` gives; further axes are kept.
    """

    whole: ClassVar[bool] = False  # a batch is enough

    def __call__(self, x: Any) -> Pair:
        """Inputs and targets of ``x``, an array or tensor ``[b, n, ...]``."""
        rank, steps = len(x.shape), x.shape[1] if len(x.shape) > 1 else None
        if rank < 2 or (steps is not None and steps < 2):
            raise ValueError(
                "NextToken takes sequences of two steps or more [b, n, ...], but "
                f"what preprocessing leaves is {list(x.shape)}. For one long sequence use "
                "pipeline.data.frame.Windows."
            )
        return x[:, :-1], x[:, 1:]


class Windows:
    """The split as one sequence, cut: ``sequence[s : s + length]``, s = 0, stride, 2 stride, ….

    The target of a window is the window ``horizon`` steps later. What is left after the last whole
    window and its target is left out.

    Args:
        length: steps of a window.
        stride: steps from one window to the next; null: ``length``, so that none overlap.
        horizon: steps from an input to its target.
    """

    whole: ClassVar[bool] = True  # the examples of a split, in stored order, are one sequence

    def __init__(self, length: int, stride: int | None = None, horizon: int = 1) -> None:
        self.length = int(length)
        self.stride = self.length if stride is None else int(stride)
        self.horizon = int(horizon)
        for name in ("length", "stride", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"Windows: {name}={getattr(self, name)}; at least 1 is expected.")

    def __call__(self, x: np.ndarray) -> Pair:
        """Inputs and targets ``[windows, length, ...]``: views, which take no memory.

        Args:
            x: ``[steps, ...]``, a step an example, such as the months of a series; or ``[1, steps,
                ...]``, the one example that a split has.

        Raises:
            ValueError: there is no whole window.
        """
        sequence = x[0] if len(x) == 1 and x.ndim > 1 else x
        windows = self.count(len(sequence))
        if not windows:
            raise ValueError(
                f"there are {len(sequence):,} steps, but a window and its target take "
                f"{self.length + self.horizon:,} (length={self.length}, horizon={self.horizon}). "
                "Make the split larger, or dataset.frame.length at most "
                f"{max(len(sequence) - self.horizon, 0):,}."
            )
        return self._cut(sequence, windows), self._cut(sequence[self.horizon :], windows)

    def count(self, steps: int) -> int:
        """Whole windows in a sequence."""
        return max(0, (steps - self.length - self.horizon) // self.stride + 1)

    def _cut(self, sequence: np.ndarray, windows: int) -> np.ndarray:
        every = np.lib.stride_tricks.sliding_window_view(sequence, self.length, axis=0)
        return np.moveaxis(every, -1, 1)[:: self.stride][:windows]
