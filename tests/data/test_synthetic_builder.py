"""Made-up images: of the shape and number asked for, the same every time, and learnable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Dataset
from pipeline.data import source
from pipeline.errors import DataError

OPTIONS = {"shape": [4, 5, 2], "classes": 3, "examples": 48, "seed": 0}


def _config(folder: Path, **options: Any) -> Dataset:
    return Dataset(name="synthetic", data_dir=str(folder), options={**OPTIONS, **options})


def test_there_are_as_many_as_asked_for_and_an_eighth_to_evaluate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = source.load(_config(tmp_path))
    assert caplog.messages == []
    assert found.sizes == {"train": 48, "validation": 6, "test": 6}
    assert (found.told(), found.classes) == ("4x5x2 uint8", 3)
    assert np.bincount(found.split("train").labels).tolist() == [16, 16, 16]


def test_each_dataset_has_a_folder_and_a_digest_of_its_own(tmp_path: Path) -> None:
    found = [
        source.load(_config(tmp_path / place, **options))
        for place, options in (("a", {}), ("b", {}), ("a", {"seed": 1}))
    ]
    digests = [one.split("train").digest for one in found]
    assert digests[0] == digests[1] != digests[2]
    assert found[0].folder != found[2].folder
    assert found[0].folder.parent.name == "4x5x2-classes3-examples48-seed0"


def test_classes_can_be_told_apart_and_splits_differ(tmp_path: Path) -> None:
    found = source.load(_config(tmp_path))
    train, test = found.split("train"), found.split("test")
    flat = train.inputs.reshape(48, -1).astype(float)
    means = np.stack([flat[train.labels == label].mean(0) for label in range(3)])
    away = np.linalg.norm(test.inputs.reshape(6, 1, -1) - means, axis=-1)
    assert (away.argmin(1) == test.labels).mean() > 0.8
    assert not np.array_equal(test.inputs, train.inputs[:6])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shape": [4, 0]}, "synthetic: shape=[4, 0]; expected whole numbers above 0"),
        ({"shape": []}, "synthetic: shape=[]; expected whole numbers above 0"),
        ({"examples": 1.5}, "synthetic: examples=1.5; expected whole numbers above 0"),
        ({"seed": -1}, "synthetic: seed=-1; expected a whole number, 0 to 4294967295"),
        ({"clases": 3}, "dataset.options.clases: synthetic takes no such option. Did you mean"),
    ],
)
def test_options_that_make_no_dataset_are_told(tmp_path: Path, options: Any, text: str) -> None:
    with pytest.raises(DataError) as caught:
        source.load(_config(tmp_path, **options))
    assert text in str(caught.value)


def test_a_builder_without_options_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="digits takes no such option. It takes none"):
        source.load(Dataset(name="digits", data_dir=str(tmp_path), options={"size": 3}))
