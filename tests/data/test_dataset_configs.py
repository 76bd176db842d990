"""What conf/dataset/ says of each dataset is what TFDS says of it; nothing is read or fetched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline import prepare
from pipeline.composing import conf_dir
from pipeline.config import Dataset
from pipeline.data import catalogue

PROMISED = {
    *("digits", "digits_sequence", "mnist", "fashion_mnist", "kmnist", "emnist"),
    *("cifar10", "cifar100", "svhn_cropped"),
    *("imdb_reviews", "ag_news_subset", "tiny_shakespeare"),
    *("iris", "penguins", "titanic", "diamonds", "breast_cancer", "wine", "diabetes"),
    "sunspots",
}
OPTIONS = sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml"))
WITH_TEST_SPLIT = {
    *("ag_news_subset", "cifar10", "cifar100", "emnist", "fashion_mnist", "imdb_reviews"),
    *("kmnist", "mnist", "svhn_cropped", "tfds"),
}
ONLY_TRAIN = {"diamonds", "iris", "penguins", "titanic"}


def configured(option: str) -> Dataset:
    name = ["dataset.name=kmnist"] if option == "tfds" else []
    return prepare.configured([f"dataset={option}", *name])


def features_of(dataset: Dataset) -> dict[str, Any]:
    """Each feature by its path, as ``dataset.inputs`` names it."""
    found: dict[str, Any] = {}

    def visit(features: Any, above: str) -> None:
        for name, feature in features.items():
            found[above + name] = feature
            if isinstance(feature, tfds.features.FeaturesDict):
                visit(feature, f"{above}{name}/")

    visit(catalogue.open_builder(dataset).info.features, "")
    return found


def test_each_dataset_that_was_promised_has_a_config() -> None:
    assert set(OPTIONS) >= PROMISED


@pytest.mark.parametrize("option", OPTIONS)
def test_inputs_and_target_are_features_of_their_kind(option: str) -> None:
    dataset = configured(option)
    features = features_of(dataset)
    inputs = [dataset.inputs] if isinstance(dataset.inputs, str) else list(dataset.inputs)
    assert set(inputs) <= set(features)
    target = features.get(dataset.target)
    if dataset.target is None:
        assert dataset.frame is not None  # it makes the target
    elif isinstance(target, tfds.features.ClassLabel):
        assert dataset.classes == (None if option == "tfds" else target.num_classes)
    else:
        assert (target.dtype, target.shape, dataset.classes) == (np.float32, (), None)
    is_text = [isinstance(features[name], tfds.features.Text) for name in inputs]
    assert any(is_text) == ("tokens" in dataset.preprocess)


@pytest.mark.parametrize("option", OPTIONS)
def test_tables_name_each_column_once_and_as_what_it_is(option: str) -> None:
    dataset = configured(option)
    assert isinstance(dataset.inputs, str) == ("columns" not in dataset.preprocess)
    if isinstance(dataset.inputs, str):
        return
    columns = dataset.preprocess["columns"]
    numbers, categories = list(columns["numbers"]), list(columns.get("categories", []))
    assert numbers + categories == list(dataset.inputs)
    labels = {
        name
        for name, feature in features_of(dataset).items()
        if isinstance(feature, tfds.features.ClassLabel)
    }
    assert set(categories) == labels & set(dataset.inputs)
    assert dataset.target not in dataset.inputs


@pytest.mark.parametrize("option", OPTIONS)
def test_splits_are_apart_and_leave_nothing_out(option: str) -> None:
    splits = configured(option).splits
    given = (splits.train, splits.validation, splits.test)
    if option in WITH_TEST_SPLIT:
        assert given == ("train[:90%]", "train[90%:]", "test")
    elif option in ONLY_TRAIN:
        assert given == ("train[:80%]", "train[80%:90%]", "train[90%:]")
    else:
        assert given == ("train", "validation", "test")


@pytest.mark.parametrize("option", OPTIONS)
def test_head_says_what_it_is_and_how_to_prepare_it(option: str) -> None:
    head = (conf_dir() / "dataset" / f"{option}.yaml").read_text().split("defaults:")[0]
    assert head.startswith("# ")
    needed = not catalogue.needs_no_download(catalogue.open_builder(configured(option)))
    assert (f"python -m pipeline.prepare dataset={option}" in head) == needed
    assert ("Nothing to prepare:" in head) == (not needed)
