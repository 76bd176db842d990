"""What a dataset holds, against what the config says of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline.config import Dataset, Splits
from pipeline.data import source, splits
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing, Resize
from pipeline.errors import DataError

Write = Callable[..., Path]
Images = Callable[[int], list[Any]]
SLICED = Splits(train="train[:90%]", validation="train[90%:]", test="test")


@pytest.fixture
def mnist(twenty_and_ten: Path) -> Dataset:
    """Twenty training and ten test images under mnist's name."""
    return Dataset(name="mnist", data_dir=str(twenty_and_ten), splits=SLICED)


def refusal(config: Dataset, role: str | None = None) -> str:
    def use() -> None:
        loaded = source.load(config)
        if role:
            Prepared(loaded, Preprocessing()).examples(role)

    with pytest.raises(DataError) as caught:
        use()
    return str(caught.value)


def test_slices_part_the_split(mnist: Dataset) -> None:
    loaded = source.load(mnist)
    assert loaded.sizes == {"train": 18, "validation": 2, "test": 10}
    train, validation = loaded.split("train"), loaded.split("validation")
    assert train.inputs[:, 0, 0, 0].tolist() == list(range(18))
    assert validation.inputs[:, 5, 5, 0].tolist() == [18, 19]
    assert train.inputs.dtype == np.uint8
    assert train.labels.dtype == np.int32
    assert train.name == "train[:90%]"


def test_features_that_are_not_asked_for_are_not_decoded_nor_warned_of(
    write_dataset: Write, caplog: pytest.LogCaptureFixture
) -> None:
    code = tfds.builder_cls("cifar10")(data_dir="/nowhere").info.features
    example = {"id": "train_1", "image": np.ones([32, 32, 3], np.uint8), "label": 3}
    folder = write_dataset("cifar10", {"train": [example]}, "3.0.2", dict(code.items()))
    everything = Splits(train="train", validation="train", test="train")
    caplog.clear()
    split = source.load(Dataset("cifar10", str(folder), splits=everything)).split("train")
    assert (split.labels.tolist(), split.inputs.sum()) == ([3], 32 * 32 * 3)
    assert caplog.messages == []


def test_classes_come_from_tfds_when_the_config_has_none(mnist: Dataset) -> None:
    assert mnist.classes is None
    assert source.load(mnist).classes == 10


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"inputs": "imgae"},
            "dataset.inputs=imgae: mnist/3.0.1 has no feature 'imgae'. Did you mean 'image'?",
        ),
        (
            {"target": "lable"},
            "dataset.target=lable: mnist/3.0.1 has no feature 'lable'. Did you mean 'label'?",
        ),
        (
            {"target": "image"},
            "dataset.target=image: this feature of mnist/3.0.1 is Image, but a class label is "
            "needed. It has label.",
        ),
        (
            {"classes": 100},
            "dataset.classes=100, but mnist/3.0.1 has 10 classes in 'label'. "
            "Set dataset.classes=10.",
        ),
        (
            {"splits": replace(SLICED, validation="validaton")},
            "dataset.splits.validation=validaton: mnist/3.0.1 has no split 'validaton'. "
            "Valid: test, train.",
        ),
        (
            {"splits": replace(SLICED, train="trian[:90%]")},
            "dataset.splits.train=trian[:90%]: mnist/3.0.1 has no split 'trian'. "
            "Did you mean 'train'?",
        ),
        (
            {"splits": replace(SLICED, train="train[:90%")},
            "dataset.splits.train=train[:90% is not a split expression for mnist/3.0.1: ",
        ),
        (
            {"splits": replace(SLICED, train="train[:500]")},
            "dataset.splits.train=train[:500] is not a split expression for mnist/3.0.1: "
            "Requested slice [:500] incompatible with 20 examples.",
        ),
        (
            {"splits": replace(SLICED, validation="train[100%:]")},
            "dataset.splits.validation=train[100%:] is empty: mnist/3.0.1 has test 10, train 20 "
            "examples.",
        ),
    ],
)
def test_config_that_does_not_suit_the_dataset(
    mnist: Dataset, change: dict[str, Any], text: str
) -> None:
    assert text in refusal(replace(mnist, **change))


def test_text_without_a_step_that_makes_tokens_of_it_is_refused(write_dataset: Write) -> None:
    folder = write_dataset(
        "reviews",
        {"train": [{"text": "good", "score": 1.5, "label": 1}]},
        features={
            "text": tfds.features.Text(),
            "score": np.float32,
            "label": tfds.features.ClassLabel(num_classes=2),
        },
    )
    everything = Splits(train="train", validation="train", test="train")
    config = Dataset(name="reviews", data_dir=str(folder), inputs="text", splits=everything)
    assert refusal(config, "train") == (
        "dataset.inputs=text: this feature of reviews/3.0.1 is text, and a model takes numbers. "
        "Add a step to dataset.preprocess that makes tokens of it (_target_: "
        "pipeline.data.preprocess.Tokens), or name another feature."
    )
    assert source.load(replace(config, inputs="score")).split("train").inputs.tolist() == [1.5]


def test_images_of_several_sizes_are_refused_before_they_are_batched(write_dataset: Write) -> None:
    images = [np.zeros([4, 4, 3], np.uint8), np.zeros([5, 4, 3], np.uint8)]
    everything = Splits(train="train", validation="train[:1]", test="train[1:]")
    folder = write_dataset(
        "photographs",
        {"train": [{"image": image, "label": 0} for image in images]},
        features={
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(num_classes=2),
        },
    )
    config = Dataset(name="photographs", data_dir=str(folder), splits=everything)
    assert "'image' of photographs/3.0.1 differs in size from example to example" in refusal(
        config, "train"
    )
    loaded = source.load(config)
    assert loaded.told() == "?x?x3 uint8"
    assert loaded.split("validation").inputs.shape == (1, 4, 4, 3)
    two = replace(config, splits=Splits(train="train[:1]", validation="train[1:]", test="train"))
    assert "(split train[1:], train; TFDS declares (None, None, 3))" in refusal(two, "validation")
    resized = Prepared(loaded, Preprocessing({"size": Resize(2, 3)})).examples("train")
    assert resized.inputs.shape == (2, 2, 3, 3)


def test_sizes_that_change_between_batches_are_noticed(
    write_dataset: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "_READ_BATCH", 1)
    test_images_of_several_sizes_are_refused_before_they_are_batched(write_dataset)


def test_unpublished_labels_are_refused_with_the_example(
    write_dataset: Write, numbered_images: Images
) -> None:
    examples = [*numbered_images(3), {**numbered_images(1)[0], "label": -1}]
    folder = write_dataset("mnist", {"train": numbered_images(4), "test": examples})
    config = Dataset(
        name="mnist",
        data_dir=str(folder),
        splits=Splits(train="train", validation="train", test="test"),
    )
    assert (
        "Split 'test': the label of example 3 is -1, outside 0..9 (1 of 4 examples are)."
        in refusal(config, "test")
    )


@pytest.mark.parametrize(
    ("left_over", "text"),
    [
        (60, "record 1: the file ends in the middle of it, and 17 records from 1 on cannot"),
        (0, "record 1: the file ends before it, and 17 records from 1 on cannot be found."),
    ],
)
def test_truncated_file_is_called_damaged(
    mnist: Dataset, tmp_path: Path, left_over: int, text: str
) -> None:
    folder = shutil.copytree(mnist.data_dir, tmp_path / "copy")
    mnist = replace(mnist, data_dir=str(folder))
    (record,) = Path(mnist.data_dir).glob("mnist/3.0.1/*train*")
    whole = record.read_bytes()
    length = 8 + 4 + int.from_bytes(whole[:8], "little") + 4  # of the first TFRecord, framed
    record.write_bytes(whole[: length + left_over])
    said = refusal(mnist, "train")
    assert f"in {mnist.data_dir}/mnist/3.0.1 is damaged: 17 of the 18 records of" in said
    assert text in said
    assert "prepare the dataset again" in said


def test_digest_is_of_the_content(
    write_dataset: Write, numbered_images: Images, tmp_path: Path
) -> None:
    def relabel(examples: list[Any]) -> None:
        examples[0]["label"] = 5

    def repaint(examples: list[Any]) -> None:
        examples[3]["image"][27, 27, 0] ^= 1

    def leave(examples: list[Any]) -> None:
        pass

    everything = Splits(train="train", validation="train[:2]", test="train[2:]")
    config = Dataset(name="mnist", data_dir=str(tmp_path), splits=everything)
    digests = []
    for change in (leave, leave, relabel, repaint, list.reverse):
        examples = numbered_images(4)
        change(examples)
        write_dataset("mnist", {"train": examples})
        digests.append(source.load(config).split("train").digest)
        shutil.rmtree(tmp_path / "mnist")
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_digest_tells_shape_and_dtype_apart() -> None:
    labels = np.zeros(4, np.int32)
    stored = [
        np.zeros([4, 4], np.uint8),
        np.zeros([4, 2, 2], np.uint8),
        np.zeros([4, 4], np.int8),
    ]
    assert len({splits.Split("train", inputs, labels).digest for inputs in stored}) == 3


def test_sources_digest_covers_the_splits_read_in_any_order(mnist: Dataset) -> None:
    one, two = source.load(mnist), source.load(mnist)
    for role in ("train", "test"):
        one.split(role)
    two.split("test")
    partial = two.digest
    two.split("train")
    assert one.digest == two.digest != partial


def test_split_is_decoded_once_a_process(mnist: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = source.load(mnist).split("train")
    monkeypatch.setattr(splits, "_decode", None)
    assert source.load(mnist).split("train") is first
    with pytest.raises(ValueError, match="read-only"):
        first.inputs[0] = 0


def test_cache_keeps_to_its_bound(mnist: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "_cache", type(splits._cache)())
    loaded = source.load(mnist)
    one = len(loaded.split("train").inputs.tobytes()) + 18 * 4
    monkeypatch.setattr(splits, "_CACHE_BYTES", one)
    source.load(mnist).split("test")
    assert [split.name for split in splits._cache.values()] == ["test"]


@pytest.mark.parametrize(("name", "shape"), [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_mocked_official_dataset_has_its_own_features(
    name: str, shape: tuple[int, ...], write_dataset: Write
) -> None:
    version = str(tfds.builder_cls(name).VERSION)
    code = tfds.builder_cls(name)(data_dir="/nowhere").info.features
    example = {
        feature: np.zeros(shape, np.uint8) if feature == "image" else "x" if feature == "id" else 0
        for feature in code
    }
    folder = write_dataset(
        name, {"train": [example] * 20, "test": [example] * 20}, version, dict(code.items())
    )
    with tfds.testing.mock_data(num_examples=250, data_dir=str(folder)):
        loaded = source.load(Dataset(name=name, classes=10, splits=SLICED))
        split = loaded.split("train")
    assert (tuple(loaded.inputs.shape), loaded.version) == (shape, version)
    assert split.inputs.shape == (250, *shape)
    assert split.inputs.std() > 50
    assert set(split.labels.tolist()) == set(range(10))
