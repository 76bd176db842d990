from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _logical_devices(strategy_of: Callable[[int], Any]) -> None:
    strategy_of(2)  # makes the logical devices, before TensorFlow is first used
