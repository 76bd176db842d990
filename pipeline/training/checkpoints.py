"""Checkpoints on disk: written whole or not at all, verified when they are read.

A checkpoint is a folder ``step-00000440``: TensorFlow's own files and ``manifest.json`` with the
step, the metrics at that step, what the outer loop remembers, and a SHA-256 of each file. It is
written under another name and renamed, so a folder of that name is complete. Which one a run goes
on from, and which are kept, is the recorder's choice.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from layers import Layer
from pipeline.errors import StoreError, TrainingError
from pipeline.training.snapshot import NotVariables, Snapshot

MANIFEST = "manifest.json"
PREFIX = "step-"
UNFINISHED = ".unfinished-"
VARIABLES = "variables"


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint says of itself, apart from its variables."""

    step: int
    metrics: dict[str, float]
    progress: dict[str, Any]  # of the outer loop; see loop.Progress
    files: dict[str, str]  # name -> SHA-256
    # path of each of the model's variables -> the attributes that lead to it from the model
    routes: dict[str, list[str]] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)  # that trained up to this step


class Checkpoints:
    """Saves and restores one set of objects in one folder.

    Args:
        folder: where the checkpoints of this run are kept; made when needed.
        objects: by name, each a ``tf.Module`` or variable, all built.
        devices: that train them; each checkpoint says so.
    """

    def __init__(
        self, folder: Path, objects: Mapping[str, Any], devices: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.devices = list(devices)
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._objects = objects
        self._routes = _routes(objects["model"]) if "model" in objects else {}
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{UNFINISHED}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)

    def snapshot(self) -> Snapshot | None:
        """A copy of the present state, for ``save`` in another thread; None: that cannot be."""
        try:
            return Snapshot(self._objects)
        except NotVariables:
            return None

    def save(
        self,
        step: int,
        metrics: Mapping[str, float],
        progress: Mapping[str, Any],
        snapshot: Snapshot | None = None,
    ) -> Path:
        """Write a checkpoint of ``step`` and return its folder.

        Args:
            snapshot: the state to write; None: the present one.

        Raises:
            StoreError: the disk is full or fails. Nothing of it stays, and the older ones are
                as they were.
        """
        unfinished = self.unfinished(step)
        try:
            unfinished.mkdir()
            checkpoint = snapshot.checkpoint if snapshot else self._checkpoint
            checkpoint.write(str(unfinished / VARIABLES))
            files = {path.name: _digest(path) for path in sorted(unfinished.iterdir())}
            manifest = Manifest(
                step, dict(metrics), dict(progress), files, self._routes, self.devices
            )
            with open(unfinished / MANIFEST, "w", encoding="utf-8") as file:
                json.dump(vars(manifest), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            return self.adopt(unfinished, step)
        except (OSError, tf.errors.OpError) as error:  # TensorFlow's for what it writes itself
            shutil.rmtree(unfinished, ignore_errors=True)
            raise StoreError(
                f"checkpoint {_name(step)}: cannot be written: {cause(error)}"
            ) from error

    def unfinished(self, step: int) -> Path:
        """A name for what is not yet a checkpoint of ``step``. A later process sweeps it."""
        folder = self.folder / f"{UNFINISHED}{step:08d}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def adopt(self, folder: Path, step: int) -> Path:
        """Make a complete ``folder`` the checkpoint of ``step``. Returns where it lies now."""
        final = self.path(step)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(folder, final)
        return final

    def restore(self, folder: Path) -> Manifest:
        """Verify a checkpoint and read all of it; ``StoreError`` where it is damaged.

        Every variable of the objects must be in it and every value in it must have a variable.
        """
        manifest = read_manifest(folder)
        try:
            self._checkpoint.read(str(folder / VARIABLES)).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise TrainingError(
                f"checkpoint {folder.name} does not fit this model: {_first_line(error)}. Its "
                "config must be the one it was written with."
            ) from error
        return manifest

    def path(self, step: int) -> Path:
        """Where the checkpoint of ``step`` lies, or would."""
        return self.folder / _name(step)

    def steps(self) -> list[int]:
        """The steps of all checkpoints, damaged ones too, the newest first."""
        found = [int(path.name.removeprefix(PREFIX)) for path in self.folder.glob(f"{PREFIX}*")]
        return sorted(found, reverse=True)

    def keep(self, steps: Iterable[int]) -> None:
        """Remove the checkpoints of all other steps."""
        for step in set(self.steps()) - set(steps):
            shutil.rmtree(self.path(step), ignore_errors=True)


def read_manifest(folder: Path) -> Manifest:
    """The manifest, after every file it names has been compared with its SHA-256."""
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"checkpoint {folder.name}: {MANIFEST} cannot be read: {error}") from error
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise StoreError(f"checkpoint {folder.name}: {name} is missing")
        try:
            digest = _digest(path)
        except OSError as error:
            raise StoreError(
                f"checkpoint {folder.name}: {name} cannot be read: {cause(error)}"
            ) from error
        if digest != expected:
            raise StoreError(f"checkpoint {folder.name}: {name} is damaged (its SHA-256 differs)")
    return manifest


def weights_digest(variables: Mapping[str, tf.Variable]) -> str:
    """SHA-256 over paths, dtypes, shapes and bytes of ``variables``, in the order of paths."""
    digest = hashlib.sha256()
    for path in sorted(variables):
        value = variables[path].numpy()
        digest.update(f"{path} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _routes(model: Layer) -> dict[str, list[str]]:
    """How TensorFlow's checkpoints get from ``model`` to each of its variables, shortest first."""
    paths = {id(variable): path for path, variable in model.named_variables().items()}
    found: dict[str, list[str]] = {}
    waiting: list[tuple[Any, list[str]]] = [(model, [])]
    seen = {id(model)}
    for item, route in waiting:
        if id(item) in paths:
            found[paths[id(item)]] = route
        for name, child in tf.train.TrackableView.children(item).items():
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append((child, [*route, name]))
    return found


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(step: int) -> str:
    return f"{PREFIX}{step:08d}"


def cause(error: OSError | tf.errors.OpError) -> str:
    """``No space left on device``, without TensorFlow's names of kernels and temporary files."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return _first_line(error).rpartition("; ")[2].partition(" [Op:")[0]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
