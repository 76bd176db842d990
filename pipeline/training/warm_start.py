"""Weights of another model's checkpoint, taken over by patterns of paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from layers import Layer
from pipeline.errors import ConfigError, did_you_mean
from pipeline.training.checkpoints import VARIABLES, read_manifest

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass
class Loaded:
    """What came of a warm start; paths of variables here, as they are in the model.

    ``loaded``: by path here, the path there. ``absent``: asked for, and not in the checkpoint.
    ``differing``: in both, with other shapes (here, there). ``untouched``: not asked for.
    ``unused``: paths there that nothing was loaded from.
    """

    loaded: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    differing: dict[str, tuple[list[int], list[int]]] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    source: str = ""

    def lines(self) -> list[str]:
        """For people: first how much was loaded, then all that was not."""
        total = sum(map(len, (self.loaded, self.absent, self.differing, self.untouched)))
        found = [f"{len(self.loaded)} of {total} variables from {self.source}"]
        found += [f"not loaded: {path}: the checkpoint has none such" for path in self.absent]
        for path, (here, there) in self.differing.items():
            found.append(f"not loaded: {path}: is {here} here and {there} there")
        if self.untouched:
            found.append(f"not asked for: {', '.join(self.untouched)}")
        if self.unused:
            found.append(f"not used of the checkpoint: {', '.join(self.unused)}")
        return found


def load(model: Layer, folder: Path, pairs: Mapping[str, str]) -> Loaded:
    """Assign to the variables of a built ``model`` what a checkpoint holds for them.

    Args:
        folder: of a checkpoint, as ``Checkpoints.save`` writes it.
        pairs: patterns of paths, here to there, with as many ``*`` on both sides; the first that
            matches counts. A ``*`` stands there for what it stood for here.

    Raises:
        ConfigError: a pattern loads nothing, or the checkpoint is too old to know its paths.
        StoreError: the checkpoint is damaged.
    """
    values = evaluated_weights(folder)
    result = Loaded()
    used: dict[str, int] = dict.fromkeys(pairs, 0)
    unlike: dict[str, str] = {}  # pattern -> the first variable whose shape differs
    for path, variable in model.named_variables().items():
        pattern, there = _translate(path, pairs)
        if there is None or pattern is None:
            result.untouched.append(path)
        elif there not in values:
            result.absent.append(path)
        elif list(values[there].shape) != variable.shape.as_list():
            shapes = variable.shape.as_list(), list(values[there].shape)
            result.differing[path] = shapes
            unlike.setdefault(pattern, f"{path} is {shapes[0]} here and {shapes[1]} there")
        else:
            variable.assign(values[there].astype(variable.dtype.as_numpy_dtype))
            result.loaded[path] = there
            used[pattern] += 1
    for pattern, count in used.items():
        if count == 0 and pattern in unlike:
            raise ConfigError(f"{pattern!r} to {pairs[pattern]!r} loads nothing: {unlike[pattern]}")
        if count == 0:
            here = did_you_mean(pattern, model.named_variables())
            raise ConfigError(
                f"{pattern!r} to {pairs[pattern]!r} loads nothing. Here: {here} "
                f"There: {did_you_mean(pairs[pattern], values)}"
            )
    result.unused = sorted(set(values) - set(result.loaded.values()))
    return result


def evaluated_weights(folder: Path) -> dict[str, Any]:
    """Every variable of the checkpoint's model by path; averages in place of what they average."""
    manifest = read_manifest(folder)
    if not manifest.routes:
        raise ConfigError("its checkpoint does not say which variable is which: it is too old")
    reader = tf.train.load_checkpoint(str(folder / VARIABLES))
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor(GRAPH))

    def read(route: list[str]) -> np.ndarray | None:
        node = graph.nodes[0]
        for name in route:
            ids = [child.node_id for child in node.children if child.local_name == name]
            if not ids:
                return None
            node = graph.nodes[ids[0]]
        return reader.get_tensor(node.attributes[0].checkpoint_key)

    found: dict[str, Any] = {}
    for path, route in manifest.routes.items():
        average = read(["average", "averages", path])
        found[path] = read(["model", *route]) if average is None else average
    return found


def _translate(path: str, pairs: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The first pattern that matches ``path``, and the path there."""
    for ours, theirs in pairs.items():
        match = re.fullmatch(re.escape(ours).replace(r"\*", "(.*)"), path)
        if match:
            parts = theirs.split("*")
            filled = [
                part + group for part, group in zip(parts, (*match.groups(), ""), strict=True)
            ]
            return ours, "".join(filled)
    return None, None
