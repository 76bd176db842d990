"""Fashion-MNIST out of Debian's package: here a tiny one, stripped as Debian strips it."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.image_classification import mnist

from pipeline import prepare
from pipeline.data import packaged
from pipeline.errors import DataError

IMAGES = np.random.RandomState(0).randint(0, 256, [9, 28, 28, 1]).astype(np.uint8)
LABELS = np.arange(9, dtype=np.uint8)
TIMES = {"train": 1504176606, "t10k": 1504176627}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as Debian's: 6 training and 3 test images, of which TFDS knows the checksums."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    sums = {}
    for part, rows in (("train", slice(0, 6)), ("t10k", slice(6, 9))):
        contents = {
            f"{part}-images-idx3-ubyte": struct.pack(">4i", 2051, len(LABELS[rows]), 28, 28)
            + IMAGES[rows].tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">2i", 2049, len(LABELS[rows]))
            + LABELS[rows].tobytes(),
        }
        for name, content in contents.items():
            official = folder / f"{name}.gz"
            with (
                official.open("wb") as file,
                gzip.GzipFile(name, "wb", mtime=TIMES[part], fileobj=file) as packed,
            ):
                packed.write(content)
            data = official.read_bytes()
            url = mnist.FashionMNIST.URL + official.name
            sums[url] = UrlInfo(len(data), hashlib.sha256(data).hexdigest(), official.name)
            assert data[10:].startswith(name.encode() + b"\0")
            official.write_bytes(data[:3] + bytes(5) + data[8:10] + data[10 + len(name) + 1 :])
            assert gzip.decompress(official.read_bytes()) == content
    monkeypatch.setattr(mnist.FashionMNIST, "url_infos", sums)
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", 6)
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", 3)
    tiny = dataclasses.replace(packaged.PACKAGES["fashion_mnist"], folder=folder)
    monkeypatch.setitem(packaged.PACKAGES, "fashion_mnist", tiny)
    return folder


def run(tmp_path: Path) -> None:
    prepare.main(["dataset=fashion_mnist", f"dataset.data_dir={tmp_path}/data"])


def test_prepares_the_official_dataset_from_it_and_says_so(
    package: Path,
    tmp_path: Path,
    no_network: list[Any],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(tmp_path)
    folder = tmp_path / "data" / "fashion_mnist" / "3.0.1"
    assert capfd.readouterr().out == (
        f"prepared fashion_mnist/3.0.1 at {folder}: train 6, test 3\n"
    )
    assert caplog.messages == [
        f"fashion_mnist/3.0.1: its files are taken from {package}, of the package "
        "dataset-fashion-mnist, and not downloaded"
    ]
    assert no_network == []

    builder = tfds.builder_from_directory(folder)
    assert builder.info.features["label"].names[9] == "Ankle boot"
    read = [
        (example["label"], example["image"].tobytes())
        for split in ("train", "test")
        for example in builder.as_dataset(split=split).as_numpy_iterator()
    ]
    given = [(label, image.tobytes()) for label, image in zip(LABELS, IMAGES, strict=True)]
    assert sorted(read) == given
    assert list((tmp_path / "data" / "downloads").rglob("*.gz")) == []


def test_files_that_are_not_the_official_ones_are_not_taken(
    package: Path, tmp_path: Path, no_network: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = package / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(DataError, match="cannot be downloaded: no connection to fashion-mnist"):
        run(tmp_path)
    assert caplog.messages == [
        f"{path} is not used: its SHA-256 is not the one that TFDS expects",
    ]


def test_without_the_package_it_is_downloaded(
    package: Path, tmp_path: Path, no_network: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    (package / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="install Debian's package dataset-fashion-mnist, or copy"):
        run(tmp_path)
    assert no_network
    assert caplog.messages == []


def test_each_file_that_tfds_would_download_is_known() -> None:
    for name, package in packaged.PACKAGES.items():
        infos = tfds.builder_cls(name).url_infos.values()
        assert {info.filename for info in infos} == set(package.times)
