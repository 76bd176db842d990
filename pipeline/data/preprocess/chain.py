"""All steps in their order: those of the host, then those of the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from layers.core.specs import describe, spec_of
from pipeline.data.preprocess.step import Batches, Function, Inputs, Step
from pipeline.errors import DataError

# What is stored small, or larger than a model computes. Other whole numbers are tokens or counts,
# and other floats what somebody chose.
_TO_FLOAT32 = (
    tf.bool,
    tf.uint8,
    tf.int8,
    tf.uint16,
    tf.int16,
    tf.float64,
)


_SAID = 300  # characters of what an exception says


class Chain(tf.Module):
    """Steps one after the other, by name."""

    def __init__(self, steps: Mapping[str, Step]) -> None:
        super().__init__()
        self.steps = dict(steps)

    def __call__(self, x: Inputs) -> Inputs:
        for step in self.steps.values():
            x = step(x)
        return x

    def fit(self, batches: Batches, spec: Any) -> Any:
        """Make each step's variables and let it learn; returns the spec of what the last one gives.

        Call it once, inside ``strategy.scope()``, before anything is traced.

        Args:
            batches: gives the training split, as it comes to the first step, at every call.
            spec: of such a batch: ``tf.TensorSpec``, or a dict of them, with an open first size.

        Raises:
            DataError: a step cannot take what the one before it gives, or cannot learn from it.
        """
        done: list[Step] = []
        for step in self.steps.values():
            step.build(spec)
            step.fit(_after(tuple(done), batches))
            done.append(step)
            try:
                spec = spec_after(step, spec)
            except DataError:
                raise
            except Exception as error:  # of TensorFlow's, or of a function of one's own
                said = " ".join(str(error).split())[:_SAID]
                raise DataError(
                    f"{step.label}: it cannot take {describe(spec)}: {type(error).__name__}: {said}"
                ) from error
        return spec

    def describe(self) -> dict[str, dict[str, Any]]:
        """What each step is and has learnt, by its name, as JSON can hold it."""
        return {
            name: {"step": type(step).__name__, **step.describe()}
            for name, step in self.steps.items()
        }


class _Host(Chain):
    def __call__(self, x: Inputs) -> Inputs:
        with tf.device("CPU:0"):  # text has no kernels elsewhere
            return super().__call__(x)


class _Device(Chain):
    """Ends in float32 where small integers, booleans or doubles are left."""

    def __call__(self, x: Inputs) -> Inputs:
        return tf.nest.map_structure(_for_a_model, super().__call__(x))

    def fit(self, batches: Batches, spec: Any) -> Any:
        return spec_after(
            lambda x: tf.nest.map_structure(_for_a_model, x), super().fit(batches, spec)
        )


class Preprocessing(tf.Module):
    """The steps of a dataset, in the order of the mapping.

    ``host`` are those up to the last that runs on the host, ``device`` is the rest. What comes out
    is float32 if the steps leave booleans, 8- or 16-bit integers or float64; int32 and int64 stay
    (token ids must), and so do other floats. So no step at all does for a model of stored numbers.

    Calling it runs both parts: raw inputs ``[b, ...]``, or a dict of them by feature, to what the
    model takes.

    Args:
        steps: name to step, or to any function of a batch, which then runs on the device.
    """

    def __init__(self, steps: Mapping[str, Callable[[Inputs], Inputs]] | None = None) -> None:
        super().__init__()
        every = {
            name: step if isinstance(step, Step) else Function(step)
            for name, step in (steps or {}).items()
        }
        for name, step in every.items():
            step.label = f"dataset.preprocess.{name}"
        last = max((at for at, step in enumerate(every.values()) if step.host), default=-1)
        names = list(every)
        self.host: Chain = _Host({name: every[name] for name in names[: last + 1]})
        self.device: Chain = _Device({name: every[name] for name in names[last + 1 :]})

    def __call__(self, x: Inputs) -> Inputs:
        return self.device(self.host(x))

    def fit(self, batches: Batches, spec: Any) -> Any:
        """Build and fit all steps with raw batches of the training split; see ``Chain.fit``.

        Whoever keeps what ``host`` makes of the split can fit the two parts apart, and saves the
        host's work: ``device.fit(kept, host.fit(batches, spec))``.
        """
        between = self.host.fit(batches, spec)
        return self.device.fit(_after((self.host,), batches), between)

    def describe(self) -> dict[str, dict[str, Any]]:
        return {**self.host.describe(), **self.device.describe()}


def spec_after(step: Callable[[Inputs], Inputs], spec: Any) -> Any:
    """The spec of what ``step`` makes of inputs like ``spec``, with an open first size."""
    traced = tf.function(step, autograph=False).get_concrete_function(spec)
    return spec_of(traced.structured_outputs)


def _after(steps: tuple[Callable[[Inputs], Inputs], ...], batches: Batches) -> Batches:
    def passed() -> Iterator[Inputs]:
        for x in batches():
            x = tf.nest.map_structure(tf.convert_to_tensor, x)
            for step in steps:
                x = step(x)
            yield x

    return passed


def _for_a_model(x: tf.Tensor) -> tf.Tensor:
    if x.dtype == tf.string:
        raise DataError(
            "dataset.preprocess: its steps leave text, but a model takes numbers. End them with "
            "pipeline.data.preprocess.Tokens, or Columns where dataset.inputs is a list."
        )
    return tf.cast(x, tf.float32) if x.dtype in _TO_FLOAT32 else x
