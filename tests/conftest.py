"""One TensorFlow process for all tests: four logical CPU devices, data in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def tfds_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Datasets are prepared once a session, away from the user's own."""
    folder = str(tmp_path_factory.mktemp("tfds"))
    os.environ["TFDS_DATA_DIR"] = folder
    return folder


WITHOUT_TENSORFLOW = {"config", "tracking", "docs", "test_architecture.py"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """What is exhaustive is slow as well, so that ``-m "not slow"`` leaves it out."""
    if item.get_closest_marker("exhaustive"):
        item.add_marker(pytest.mark.slow)


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
    return make_strategy(replicas)


@pytest.fixture(scope="session")
def strategy_of() -> Callable[[int], Any]:
    """``strategy_of(n)``: a MirroredStrategy over ``n`` (at most 4) logical CPU devices."""
    return _strategy
