"""Several augmentation steps after each other, as one compiled piece; one step for one input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from pipeline.data.augment import checks
from pipeline.data.augment.mixing import Mixed, MixUp, neighbours
from pipeline.data.draw import Draw
from pipeline.errors import did_you_mean

Augment = Callable[[Any, Draw], Any]


class Only:
    """``step`` for the input called ``feature``, where an example has several.

    Raises:
        ValueError: ``step`` mixes examples, which has to be done to all inputs alike.
    """

    def __init__(self, feature: str, step: Augment) -> None:
        self.feature = feature
        self.step = step
        if mixes(step):
            raise ValueError(
                f"Only changes one of the inputs, but {step} mixes examples as wholes."
            )

    def __call__(self, x: Mapping[str, tf.Tensor], draw: Draw) -> dict[str, tf.Tensor]:
        if not isinstance(x, Mapping):
            raise ValueError(
                f"Only says which of several inputs is meant, but an example has one: {self.step} "
                "takes it without Only."
            )
        inputs = dict(x)
        if self.feature not in inputs:
            raise ValueError(
                f"Only has the feature {self.feature!r}, which is not among the inputs. "
                + did_you_mean(self.feature, inputs)
            )
        return inputs | {self.feature: self.step(inputs[self.feature], draw)}

    def __repr__(self) -> str:
        return f"Only(feature={self.feature!r}, step={self.step})"


def mixes(step: Augment) -> bool:
    """Whether the step gives ``Mixed``, which needs an even microbatch and a loss that knows."""
    return bool(getattr(step, "mixes", False))


def augment(steps: Mapping[str, Augment], x: Any, draw: Draw) -> Mixed:
    """All steps in the order of the mapping, each with numbers of its own name.

    Where several mix, the shares of the targets are those of the mixture of mixtures.
    """
    share = None
    for name, step in steps.items():
        if isinstance(x, Mapping) and not isinstance(step, Only | MixUp):
            raise ValueError(
                f"{checks.kind(step)} takes one input, but an example has {', '.join(sorted(x))}: "
                "say which in dataset.augment, as {_target_: pipeline.data.augment.Only, feature: "
                f"{min(x)}, step: {{_target_: ...}}}}."
            )
        x = step(x, draw.named(name))
        if isinstance(x, Mixed):
            x, kept = x
            # A neighbour that was mixed itself gives back a part of what it took.
            share = kept if share is None else kept * share + (1 - kept) * (1 - neighbours(share))
    return Mixed(x, share)


class Augmentation:
    """The augmentation of a run: ``augment`` on a part of the batch, as one piece of XLA code.

    Compiled by itself, since it takes a third of the time then, while the step around it (a
    convolution on a CPU, for one) may be faster without; inside a step that is compiled it is part
    of that. So a run draws and computes alike, compiled or not.

    Args:
        steps: name to step, in order.
        batch: examples of the global batch.
        compiled: False for steps that XLA cannot compile.
    """

    def __init__(self, steps: Mapping[str, Augment], batch: int, compiled: bool = True) -> None:
        self.steps = dict(steps)
        self.batch = batch
        self._call = self._plain
        if compiled:
            self._call = tf.function(self._plain, jit_compile=True, autograph=False)

    @property
    def mixes(self) -> bool:
        """Whether a step mixes examples, and with them their targets."""
        return any(map(mixes, self.steps.values()))

    def check(self, x: Any) -> None:
        """``ValueError`` where a step wants values in a range that ``x`` leaves.

        Args:
            x: examples as they come out of preprocessing, NumPy ``[n, ...]``, or several by name.
        """
        for step in self.steps.values():
            step, part = (step.step, x[step.feature]) if isinstance(step, Only) else (step, x)
            if hasattr(step, "check"):
                step.check(part)

    def __call__(self, x: Any, key: tf.Tensor, positions: tf.Tensor) -> Mixed:
        """``x``, ``[b, ...]`` or several by name, augmented; see ``Draw`` for the others."""
        return self._call(x, key, positions) if self.steps else Mixed(x, None)

    def _plain(self, x: Any, key: tf.Tensor, positions: tf.Tensor) -> Mixed:
        return augment(self.steps, x, Draw(key, positions, self.batch))
