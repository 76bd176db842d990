"""One TensorFlow process for all tests: four logical CPU devices, data in a folder of its own."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from forking import Forked, Runner

TESTS = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def tfds_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Datasets are prepared once a session, away from the user's own."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    os.environ["TFDS_DATA_DIR"] = folder
    return folder


WITHOUT_TENSORFLOW = {
    "analysis",
    "config",
    "docs",
    "test_architecture.py",
    "test_background.py",
    "test_signals.py",
    "test_worktree.py",
    "tracking",
}


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Several processes for the suite; this one where a person runs some tests of it.

    Each process starts TensorFlow once, which takes longer than some tests, and 1 GB of memory.
    """
    chosen = config.args != config.getini("testpaths") or config.option.keyword
    return 0 if chosen else min(4, len(os.sched_getaffinity(0)))


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is exhaustive is slow as well, so that ``-m "not slow"`` leaves it out."""
    if item.get_closest_marker("exhaustive"):
        item.add_marker(pytest.mark.slow)


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Modules import TensorFlow while they are collected: here it does so without its remarks."""
    if module_path.relative_to(TESTS).parts[0] not in WITHOUT_TENSORFLOW:
        from pipeline.quiet import load_tensorflow

        load_tensorflow()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Four logical CPU devices, made before any test computes: later they cannot be added."""
    folders = {item.path.relative_to(TESTS).parts[0] for item in session.items}
    if folders - WITHOUT_TENSORFLOW and not session.config.option.collectonly:
        _strategy(4)


@cache
def _strategy(replicas: int) -> Any:
    from pipeline.quiet import load_tensorflow
    from pipeline.strategy import make_strategy

    load_tensorflow()
    gc.freeze()  # TensorFlow's own objects stay: no collection has to look at them again
    atexit.register(gc.freeze)  # and the last one has nothing to look at
    return make_strategy(replicas)


@pytest.fixture(scope="session")
def strategy_of() -> Callable[[int], Any]:
    """``strategy_of(n)``: a MirroredStrategy over ``n`` (at most 4) logical CPU devices."""
    return _strategy


@pytest.fixture(scope="session")
def runner(tfds_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Starts processes that have the heavy imports already."""
    with Runner(tmp_path_factory.mktemp("runner") / "socket") as runner:
        yield runner


@pytest.fixture(scope="session")
def forked(runner: Runner) -> Callable[..., Forked]:
    """``forked("pipeline.train", "seed=1", cwd=…)``: as ``python -m``, without its imports.

    ``code=…`` in place of the module is a program, as ``python -c``; ``environment=…`` is added.
    """
    return runner.start
