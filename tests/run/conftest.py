"""Whole runs, in this process, into a store of the session's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's folder. Opening a new one takes seconds, so it is shared."""
    return tmp_path_factory.mktemp("runs") / "mlruns"


@pytest.fixture(scope="session")
def fit(root: Path) -> Callable[..., Any]:
    """``fit("+experiment=digits", …)``: a run into the shared store, without system metrics."""
    from pipeline.train import compose
    from pipeline.train import fit as train

    def run(*overrides: str) -> Any:
        given = [*overrides, f"tracking.root={root}", "tracking.system_metrics=false"]
        return train(compose("train", given), list(overrides))

    return run


@pytest.fixture(scope="session")
def store(root: Path) -> Any:
    """The shared store, as the tracking room reads it."""
    from pipeline import tracking
    from pipeline.config import Tracking

    return tracking.open_store(Tracking(root=str(root)))


@pytest.fixture(scope="session")
def command(tfds_folder: str) -> Callable[..., subprocess.Popen[str]]:
    """``command("train", "+experiment=digits", cwd=…)``: a verb in a process of its own."""

    def start(verb: str, *overrides: str, cwd: Path) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", f"pipeline.{verb}", *overrides],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
