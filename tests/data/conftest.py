"""Small datasets, written with TFDS's own writer under whatever name a test likes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Examples = Sequence[Mapping[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def devices(strategy_of: Callable[[int], Any]) -> None:
    """Logical devices cannot be made once TensorFlow is in use, and these tests use it."""
    strategy_of(1)


@pytest.fixture(scope="session")
def numbered_images() -> Callable[[int], Examples]:
    """``numbered_images(n)``: 28x28 images, ``i`` filled with ``i`` and of class ``i % 10``."""

    def make(count: int) -> Examples:
        return [{"image": np.full([28, 28, 1], i, np.uint8), "label": i % 10} for i in range(count)]

    return make


def write(
    folder: Path,
    name: str,
    splits: Mapping[str, Examples],
    version: str = "3.0.1",
    features: Mapping[str, Any] | None = None,
) -> Path:
    """Write a dataset of images and labels, or of ``features``, below ``folder``."""
    import tensorflow_datasets as tfds

    features = features or {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(enumerate(examples)) for split, examples in splits.items()},
        data_dir=folder,
        disable_shuffling=True,
    )
    return folder


@pytest.fixture(scope="session")
def write_into() -> Callable[..., Path]:
    """``write_into(folder, name, splits, version=, features=)``, for what several tests read."""
    return write


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the dataset ``things`` is, with a feature of each kind; see things.py."""
    from things import write_things

    return write_things(tmp_path_factory.mktemp("things"), write)


@pytest.fixture
def write_dataset(tmp_path: Path) -> Callable[..., Path]:
    """``write_dataset(name, splits, version=, features=)`` returns the folder for ``data_dir``."""
    return partial(write, tmp_path)


@pytest.fixture(scope="session")
def twenty_and_ten(
    tmp_path_factory: pytest.TempPathFactory, numbered_images: Callable[[int], Examples]
) -> Path:
    """The folder of a dataset under mnist's name: 20 training and 10 test images. Not changed."""
    folder = tmp_path_factory.mktemp("written")
    return write(folder, "mnist", {"train": numbered_images(20), "test": numbered_images(10)})


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every look-up and connection fails, and is noted in the returned list."""
    attempts: list[Any] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        attempts.append(args)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts
