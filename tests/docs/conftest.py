"""A folder of a user's own, the files that the README tells them to write, and its commands run."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]

# An official name with few examples and random pixels, where the README has the real set prepared.
TINY_MNIST = """
import numpy as np, os, tensorflow_datasets as tfds
random = np.random.default_rng(0)
def examples(count):
    images = random.integers(0, 256, [count, 28, 28, 1], dtype=np.uint8)
    return [(i, {"image": image, "label": i % 10}) for i, image in enumerate(images)]
tfds.dataset_builders.store_as_tfds_dataset(
    name="mnist", version="3.0.1", data_dir=os.environ["TFDS_DATA_DIR"], disable_shuffling=True,
    features=tfds.features.FeaturesDict({
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }),
    split_datasets={"train": examples(200), "test": examples(50)},
)
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a command."""

    code: int
    out: str
    err: str


class Shell:
    """Runs the README's commands in one folder, one after the other."""

    def __init__(self, folder: Path, forked: Callable[..., Any]) -> None:
        self.folder = folder
        self.forked = forked
        self.environment = {"TFDS_DATA_DIR": str(folder / "tfds"), "COLUMNS": "80"}
        self.prepared = False
        self.ui: subprocess.Popen[str] | None = None
        self.port = _free_port()

    def run(self, command: str, *more: str) -> Outcome:
        """``python -m pipeline.…``, with further overrides; in place of port 5000 a free one."""
        words = [*shlex.split(command.replace(":5000", f":{self.port}")), *more]
        assert words[:2] == ["python", "-m"], f"only python -m … is run here, not {command}"
        if words[2] == "pipeline.ui":
            return self._start_ui(words[2:])
        if "dataset=mnist" in words and not self.prepared:
            self.prepared = self.python(TINY_MNIST).code == 0
        return self._outcome(*words[2:])

    def write(self, path: str, text: str) -> None:
        """A file in the folder."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def python(self, code: str) -> Outcome:
        """A program."""
        return self._outcome(code=code)

    def _outcome(self, *words: str, **code: str) -> Outcome:
        process = self.forked(*words, cwd=self.folder, environment=self.environment, **code)
        out, err = process.communicate(timeout=400)
        return Outcome(process.returncode, out, err)

    def _start_ui(self, words: list[str]) -> Outcome:
        """It runs until the shell is closed; the outcome is what it says when it is up."""
        self.ui = subprocess.Popen(
            [sys.executable, "-m", *words, f"port={self.port}"],
            cwd=self.folder,
            env=os.environ | self.environment | {"PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # MLflow's remark about its security middleware
            text=True,
        )
        assert self.ui.stdout is not None
        lines = []
        for line in self.ui.stdout:
            lines.append(line)
            if line.startswith("newest sweep, charts"):  # each page has trained one
                break
        return Outcome(self.ui.poll() or 0, "".join(lines), "")

    def close(self) -> None:
        """End what still runs."""
        if self.ui is not None:
            self.ui.send_signal(signal.SIGINT)
            self.ui.communicate(timeout=30)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def new_shell(
    forked: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Shell]]:
    """``new_shell()``: a shell in a new folder."""
    with ExitStack() as shells:

        def make() -> Shell:
            shell = Shell(tmp_path_factory.mktemp("project"), forked)
            shells.callback(shell.close)
            return shell

        yield make
