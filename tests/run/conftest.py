"""Whole runs, in this process, into a store of the session's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """``new_store(folder)``: makes ``folder/mlruns``, with the database, which takes seconds to
    make, copied from an empty one."""
    from pipeline.config import Tracking
    from pipeline.tracking.location import locate, prepare

    location = locate(Tracking(root=str(tmp_path_factory.mktemp("empty"))))
    prepare(location)
    assert location.database is not None

    def make(folder: Path) -> Path:
        (folder / "mlruns").mkdir()
        shutil.copy(location.database, folder / "mlruns")
        return folder / "mlruns"

    return make


@pytest.fixture(scope="session")
def root(new_store: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store that is shared."""
    return new_store(tmp_path_factory.mktemp("runs"))


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
def command(forked: Callable[..., Any]) -> Callable[..., Any]:
    """``command("train", "+experiment=digits", cwd=…)``: a verb in a process of its own."""

    def start(verb: str, *overrides: str, cwd: Path) -> Any:
        return forked(f"pipeline.{verb}", *overrides, cwd=cwd)

    return start
