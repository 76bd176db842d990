"""The embedded digits are scikit-learn's, split once and for all."""

from __future__ import annotations

import hashlib

import numpy as np
from sklearn.datasets import load_digits

from pipeline.config import Dataset
from pipeline.data import source
from pipeline.data.builders.digits import stratified_splits

CONFIG = Dataset(name="digits", classes=10)


def test_splits_are_disjoint_exhaustive_and_of_fixed_size() -> None:
    splits = stratified_splits(load_digits().target)
    assert {name: len(indices) for name, indices in splits.items()} == {
        "train": 1167,
        "validation": 270,
        "test": 360,
    }
    assert sorted(np.concatenate(list(splits.values()))) == list(range(1797))


def test_every_split_holds_every_class_in_proportion() -> None:
    labels = load_digits().target
    share = np.bincount(labels) / len(labels)
    for indices in stratified_splits(labels).values():
        counts = np.bincount(labels[indices], minlength=10)
        assert np.abs(counts - share * len(indices)).max() < 1.5


def test_split_indices_never_change() -> None:
    indices = np.concatenate(list(stratified_splits(load_digits().target).values()))
    digest = hashlib.sha256(indices.astype("<i4").tobytes()).hexdigest()
    assert digest == "34330410b2d76d6810799b7dd8328295f4bda3096d1ab7423f3e5c9da9f7e086"


def test_content_read_back_from_disk_is_sklearns() -> None:
    digits = load_digits()
    loaded = source.load(CONFIG)
    for role, indices in stratified_splits(digits.target).items():
        split = loaded.split(role)
        assert split.inputs.dtype == np.uint8
        assert split.inputs.shape == (len(indices), 8, 8, 1)
        read = zip(split.inputs.reshape(-1, 64).tolist(), split.labels.tolist(), strict=True)
        pixels = digits.images[indices].reshape(-1, 64).tolist()
        made = zip(pixels, digits.target[indices].tolist(), strict=True)
        assert sorted(read) == sorted(made)


def test_order_and_digest_are_the_same_for_every_preparation(tmp_path) -> None:
    again = Dataset(name="digits", data_dir=str(tmp_path))
    digests = {source.load(config).split("test").digest for config in (CONFIG, again)}
    assert digests == {"057da69db2301f765801fbe73218ca5206a9fc481bfebc05bbec101e2a4c60ca"}


def test_metadata_says_what_it_is_and_on_what_terms() -> None:
    loaded = source.load(CONFIG)
    assert (loaded.name, loaded.version, loaded.classes) == ("digits", "1.0.0", 10)
    assert loaded.told() == "8x8x1 uint8"
    assert loaded.class_names == [str(digit) for digit in range(10)]
    assert "CC BY 4.0" in loaded.license
    assert "Alpaydin" in loaded.citation
    assert loaded.homepage == "https://archive.ics.uci.edu/dataset/80"
    assert loaded.sizes == {"train": 1167, "validation": 270, "test": 360}
