"""Where the time of the calls into the graph goes, by the part of a step that spends it.

TensorFlow's profiler times every operation, and XLA's every kernel. Each is counted for the name
scope that it was made in; XLA makes one kernel of several operations, which counts for the last.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.errors import TrainingError
from pipeline.training.trainer import Trainer

PARTS = ("input", "forward", "backward", "reduce", "update", "other")
WARM = 16  # steps before those that are counted
_SCOPES = {"evaluation", "input", "forward", "reduce", "update"}
_WRAPPERS = {"While", "StatelessWhile", "If", "StatelessIf", "PartitionedCall"}
_WRAPPERS |= {"StatefulPartitionedCall"}


def profile(trainer: Trainer, steps: int, folder: Path) -> dict[str, float]:
    """Train ``steps`` steps under TensorFlow's profiler, and undo them.

    Its files go to ``folder``. Returns the share of each of ``PARTS`` in the time that operations
    took, which add up to 1.
    """
    checkpoint = tf.train.Checkpoint(**trainer.objects)
    with tempfile.TemporaryDirectory() as scratch:
        before = checkpoint.write(f"{scratch}/before")
        _train(trainer, steps, folder)
        checkpoint.read(before).assert_consumed()
    scope_of = _scopes_in_xla(trainer) if trainer.compilation.mode == "loop" else _scope
    seconds: dict[str, float] = defaultdict(float)
    for name, took in _operations(folder):
        if (part := scope_of(name)) and part != "evaluation":  # which is timed by itself
            seconds[part] += took
    total = sum(seconds.values())
    return {part: seconds[part] / total if total else 0.0 for part in PARTS}


def _train(trainer: Trainer, steps: int, folder: Path) -> None:
    trainer.train(min(WARM, trainer.steps_per_call))
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)
    with tf.profiler.experimental.Profile(str(folder), options):
        left = steps
        while left > 0:
            trained = trainer.train(min(left, trainer.steps_per_call))
            if trained.failure:
                raise TrainingError(f"in the steps that are profiled, {trained.failure}")
            left -= len(trained.rows)


def part_of(path: str) -> str:
    """The part of a step that an operation belongs to, by the scopes in its name."""
    scopes = [re.sub(r"_\d+$", "", scope) for scope in path.split("/")]  # the second is input_1
    if "evaluation" in scopes:
        return "evaluation"
    if "gradient_tape" in scopes:
        return "backward"
    return next((scope for scope in reversed(scopes) if scope in _SCOPES), "other")


def _scope(event: str) -> str | None:
    """Of ``path/of/operation:Type``, as TensorFlow names what it times; None: no operation."""
    path, _, kind = event.partition(":")
    return part_of(path) if "/" in path and kind and kind not in _WRAPPERS else None


def _scopes_in_xla(trainer: Trainer) -> Callable[[str], str | None]:
    """By the names of XLA's kernels, which its program has beside those of the operations."""
    found = {}
    for line in trainer.program().splitlines():
        kernel = re.match(r"\s*(?:ROOT )?%?([\w.-]+) = ", line)
        operation = re.search(r'op_name="([^"]*)"', line)
        if kernel and not re.search(r"\b(while|conditional|call)\(", line):
            found[kernel[1]] = part_of(operation[1]) if operation else "other"
    return found.get


def _operations(folder: Path) -> Iterator[tuple[str, float]]:
    """Everything the profiler has timed: its name, and its time without that of what is in it."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    for file in folder.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(file.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                yield from _own_times(line.events, plane.event_metadata)


def _own_times(events: Any, metadata: Any) -> Iterator[tuple[str, float]]:
    """Of the events of one thread, some of which are within others."""
    open_events: list[list[Any]] = []  # name, end, its own time
    for event in sorted(events, key=lambda e: (e.offset_ps, -e.duration_ps)):
        while open_events and open_events[-1][1] <= event.offset_ps:
            name, _, own = open_events.pop()
            yield name, own
        if open_events:
            open_events[-1][2] -= event.duration_ps
        end = event.offset_ps + event.duration_ps
        open_events.append([metadata[event.metadata_id].name, end, event.duration_ps])
    for name, _, own in open_events:
        yield name, own
