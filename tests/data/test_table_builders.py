"""The tables are scikit-learn's, a feature a column, split once and for all."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data import catalogue

SIZES = {
    "breast_cancer": {"train": 370, "validation": 85, "test": 114},
    "wine": {"train": 115, "validation": 27, "test": 36},
    "diabetes": {"train": 288, "validation": 66, "test": 88},
}
TARGETS = {"breast_cancer": "label", "wine": "label", "diabetes": "progression"}


def packaged(name: str) -> Any:
    options = {"scaled": False} if name == "diabetes" else {}
    return getattr(sklearn.datasets, f"load_{name}")(**options)


def read(name: str) -> tuple[tfds.core.DatasetBuilder, dict[str, dict[str, np.ndarray]]]:
    """The builder, and of each split all examples as ``{feature: [n]}``."""
    catalogue.prepare(Dataset(name=name))
    builder = catalogue.open_builder(Dataset(name=name))
    splits = builder.as_dataset(batch_size=-1)
    return builder, {split: dict(tfds.as_numpy(arrays)) for split, arrays in splits.items()}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_every_row_of_sklearns_is_in_one_split_as_it_is(name: str) -> None:
    table = packaged(name)
    builder, splits = read(name)
    columns = [re.sub(r"[/ ]", "_", column) for column in table.feature_names]
    assert sorted([*columns, TARGETS[name]]) == sorted(builder.info.features)
    rows = []
    for split, examples in splits.items():
        numbers = np.stack([examples[key] for key in columns], axis=1)
        assert (numbers.dtype, numbers.shape) == (np.float32, (SIZES[name][split], len(columns)))
        target = examples[TARGETS[name]].tolist()
        rows += [(*row, y) for row, y in zip(numbers.tolist(), target, strict=True)]
    given = table.data.astype(np.float32).tolist()
    assert sorted(rows) == sorted(
        (*row, y) for row, y in zip(given, table.target.tolist(), strict=True)
    )


@pytest.mark.parametrize("name", sorted(SIZES))
def test_splits_are_in_proportion(name: str) -> None:
    table = packaged(name)
    edges = np.quantile(table.target, np.arange(0.1, 1, 0.1))
    _, splits = read(name)
    strata = {
        split: examples["label"]
        if "label" in examples
        else np.searchsorted(edges, examples["progression"])
        for split, examples in splits.items()
    }
    together = np.concatenate(list(strata.values()))
    share = np.bincount(together) / len(together)
    for members in strata.values():
        counts = np.bincount(members, minlength=len(share))
        # The tenths of a number are drawn by rank: ties may fall on either side of an edge.
        assert np.abs(counts - share * len(members)).max() < (3 if len(share) == 10 else 1.5)


DIGESTS = {
    "breast_cancer": "463b47d7d5f853fd",
    "wine": "46309b0372a4bf54",
    "diabetes": "9b493655a534321b",
}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_splits_never_change(name: str) -> None:
    _, splits = read(name)
    sha = hashlib.sha256()
    for split in ("train", "validation", "test"):
        for _, values in sorted(splits[split].items()):
            sha.update(values.tobytes())
    assert sha.hexdigest()[:16] == DIGESTS[name]


def test_metadata_says_what_they_are_and_on_what_terms() -> None:
    cancer, wine, diabetes = (catalogue.open_builder(Dataset(name=name)).info for name in TARGETS)
    assert cancer.features["label"].names == ["malignant", "benign"]
    assert wine.features["label"].num_classes == 3
    assert diabetes.features["progression"].dtype == np.float32
    assert "CC BY 4.0" in cancer.redistribution_info.license
    assert "10.24432/C5PC7J" in wine.citation
    assert "Efron" in diabetes.citation
    assert diabetes.supervised_keys[1] == "progression"


def test_names_shadow_none_of_tfds_own() -> None:
    official = {
        name
        for name in tfds.list_builders(with_community_datasets=False)
        if not tfds.builder_cls(name).__module__.startswith("pipeline.")
    }
    assert {"iris", "wine_quality"} <= official
    assert not official & {*SIZES, "digits", "sunspots", "text_file", "python_reference"}
