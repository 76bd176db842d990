"""Checkpoints on disk: written whole or not at all, verified when they are read.

A checkpoint is a folder ``step-00000440``: TensorFlow's own files and ``manifest.json`` with the
step, the metrics at that step, what the outer loop remembers, and a SHA-256 of each file. It is
written under another name and renamed, so a folder of that name is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from layers import Layer
from pipeline.errors import StoreError, TrainingError

MANIFEST = "manifest.json"
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


class Checkpoints:
    """Saves and restores one set of objects in one folder.

    Args:
        folder: where the checkpoints of this run are kept; made when needed.
        objects: by name, each a ``tf.Module`` or variable, all built.
    """

    def __init__(self, folder: Path, objects: Mapping[str, Any]) -> None:
        self.folder = folder
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._routes = _routes(objects["model"]) if "model" in objects else {}
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{UNFINISHED}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)

    def save(self, step: int, metrics: Mapping[str, float], progress: Mapping[str, Any]) -> Path:
        """Write a checkpoint of ``step`` and return its folder."""
        final = self.folder / f"step-{step:08d}"
        unfinished = self.folder / f"{UNFINISHED}{step:08d}-{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        self._checkpoint.write(str(unfinished / VARIABLES))
        files = {path.name: _digest(path) for path in sorted(unfinished.iterdir())}
        manifest = Manifest(step, dict(metrics), dict(progress), files, self._routes)
        with open(unfinished / MANIFEST, "w", encoding="utf-8") as file:
            json.dump(vars(manifest), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(unfinished, final)
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

    def newest(self) -> Path | None:
        """The newest checkpoint that verifies; ``None`` when there is none."""
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                read_manifest(folder)
            except StoreError:
                continue
            return folder
        return None


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
        if _digest(path) != expected:
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


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
