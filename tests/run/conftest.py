"""Whole runs, in this process, into a store of the session's own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from omegaconf import OmegaConf


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


class Run:
    """A run of one number, ``w``, which training makes the step's square root."""

    def __init__(self, strategy: Any, checkpoint_seconds: float) -> None:
        import tensorflow as tf

        self.config = OmegaConf.create({"trainer": {"checkpoint_seconds": checkpoint_seconds}})
        self.strategy = strategy
        self.step = tf.Variable(0, dtype=tf.int64)
        self.w = tf.Variable(0.0)
        self.trainer = self

        self.kept = None

    @property
    def current_step(self) -> int:
        return int(self.step)

    def checkpointed(self) -> dict[str, Any]:
        return {"step": self.step, "w": self.w}

    def train(self, step: int) -> None:
        self.step.assign(step)
        self.w.assign(step**0.5)


@dataclass
class Process:
    """What one process has of a run."""

    run: Run
    tracker: Any
    checkpoints: Any

    def save(self, *steps: int, best: int = 0, value: float = 0.5, due: bool = False) -> None:
        """Train to each step and save; ``best`` is the step that is the best so far."""
        for step in steps:
            self.run.train(step)
            progress = {"best": value if best else None, "best_step": best}
            self.checkpoints.save(
                step, {"val/loss": 1 / step}, progress, best=best == step, due=due
            )
            self.checkpoints.wait()

    @property
    def on_disk(self) -> dict[int, Path]:
        here = self.checkpoints.on_disk
        return {step: here.path(step) for step in here.steps()}

    @property
    def published(self) -> dict[int, tuple[Path, frozenset[str]]]:
        client, found = self.tracker.store.client, self.tracker.models.checkpoints()
        place = {c.step: client.get_logged_model(c.model_id).artifact_location for c in found}
        return {c.step: (Path(urlparse(place[c.step]).path), c.roles) for c in found}

    def settle(self) -> None:
        """Until MLflow has what was published."""
        while not self.tracker._journal.complete:
            assert not self.tracker.problems
            time.sleep(0.005)


@pytest.fixture
def process(strategy_of: Callable[[int], Any], root: Path) -> Iterator[Callable[..., Process]]:
    """``process()`` begins a run, ``process(after=another)`` ends that one and takes up its run."""
    from pipeline import tracking
    from pipeline.config import Tracking
    from pipeline.console import Console
    from pipeline.run_checkpoints import RunCheckpoints

    opened: list[Process] = []

    def start(after: Process | None = None, replicas: int = 1, seconds: float = 0.0) -> Process:
        run_id = None
        if after is not None:
            run_id = after.tracker.run_id
            assert after.tracker.finish("KILLED") == 0
        run = Run(strategy_of(replicas), seconds)
        config = Tracking(root=str(root), system_metrics=False, experiment="checkpoints")
        tracker = tracking.start(config, resume_run_id=run_id)
        opened.append(Process(run, tracker, RunCheckpoints(tracker, run, Console())))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for one in opened:
        one.tracker.finish("KILLED")
