"""Examples of a streamed split by number, and what cannot be used under either feed: it is named,
or left out, counted and told."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.config import Dataset, Splits
from pipeline.data import source as sources
from pipeline.data import stored as stored_module
from pipeline.data import tfrecord
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing, Standardize
from pipeline.errors import DataError

pytestmark = pytest.mark.slow

TRAIN = "set-train.tfrecord-00000-of-00001"
COUNT = 50


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, write_into: Callable[..., Path]) -> Path:
    """50 images, image ``i`` filled with ``i``, each with a number and a weight."""
    examples = [
        {"image": np.full([6, 6, 1], i, "u1"), "x": np.float32(i), "w": np.float32(1), "label": 0}
        for i in range(COUNT)
    ]
    return write_into(
        tmp_path_factory.mktemp("set"),
        "set",
        {"train": examples, "test": examples[:3]},
        features={
            "image": tfds.features.Image(shape=(6, 6, 1), encoding_format="png"),
            "x": np.float32,
            "w": np.float32,
            "label": tfds.features.ClassLabel(num_classes=2),
        },
    )


def _rewrite(folder: Path, change: Callable[[int, tf.train.Example], None]) -> None:
    """The training examples again, each changed, with checksums that are right."""
    (path,) = folder.glob(f"set/*/{TRAIN}")
    stored = [raw.numpy() for raw in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as file:
        for i, raw in enumerate(stored):
            example = tf.train.Example.FromString(raw)
            change(i, example)
            file.write(example.SerializeToString(deterministic=True))


def _garbled(i: int, example: tf.train.Example) -> None:
    if i in (13, 31):
        example.features.feature["image"].bytes_list.value[:] = [b"no image at all"]


def _put(feature: str, value: float) -> Callable[[int, tf.train.Example], None]:
    def change(i: int, example: tf.train.Example) -> None:
        if i in (13, 31):
            example.features.feature[feature].float_list.value[:] = [value]

    return change


def _mislabelled(i: int, example: tf.train.Example) -> None:
    if i in (13, 31):
        example.features.feature["label"].int64_list.value[:] = [2]


def _flipped(folder: Path) -> None:
    """A bit of the data of the records 13 and 31, whose checksums are then wrong."""
    (path,) = folder.glob(f"set/*/{TRAIN}")
    content = bytearray(path.read_bytes())
    offsets = tfrecord._walk(str(path), len(content)).offsets
    for record in (13, 31):
        content[offsets[record] + 30] ^= 0x10
    path.write_bytes(content)


# What is wrong -> what is done to the files, the input, and what is said.
DAMAGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "checksum": (_flipped, "image", "its data does not match its checksum"),
    "not decodable": (lambda folder: _rewrite(folder, _garbled), "image", "cannot be decoded"),
    "NaN": (
        lambda folder: _rewrite(folder, _put("x", np.nan)),
        "x",
        "its 'x' holds NaN or infinity",
    ),
    "weight": (lambda folder: _rewrite(folder, _put("w", -1.0)), "image", "its weight 'w' is -1"),
    "label": (lambda folder: _rewrite(folder, _mislabelled), "image", "its label is outside 0..1"),
}


@pytest.fixture
def prepared(written: Path, tmp_path: Path) -> Callable[..., Prepared]:
    """``prepared("stream", "skip", damage="NaN")``: of a copy."""

    def make(feed: str, on_error: str, damage: str = "", **more: Any) -> Prepared:
        folder = tmp_path / f"{feed}-{on_error}"
        if not folder.exists():
            shutil.copytree(written, folder, ignore=shutil.ignore_patterns(".offsets"))
            if damage:
                DAMAGES[damage][0](folder)
        config = Dataset(
            name="set",
            data_dir=str(folder),
            inputs=DAMAGES[damage][1] if damage else "image",
            weight="w" if damage == "weight" else None,
            feed=feed,
            on_error=on_error,
            splits=Splits(train="train", validation="test", test="test"),
        )
        return Prepared(sources.load(config), Preprocessing(more))

    return make


def _numbers(examples: Any) -> list[int]:
    """Which images, or numbers, these are."""
    inputs = np.asarray(examples.inputs, np.float32)
    return [round(float(v)) for v in inputs.reshape([len(inputs), -1])[:, 0]]


def test_examples_come_in_the_order_that_is_asked_for(prepared) -> None:
    reader = prepared("stream", "stop").reader("train")
    assert len(reader) == COUNT
    asked = [31, 0, 49, 7, 7]
    found = reader(np.array(asked))
    assert _numbers(found) == asked
    assert found.inputs.dtype == np.uint8
    assert found.weights is None


def test_pieces_make_no_difference(prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_module, "PIECE", 7)
    assert _numbers(prepared("stream", "stop").reader("train")(np.arange(COUNT))) == [*range(COUNT)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_stream_stops_and_names_the_file_and_the_record(prepared, damage: str) -> None:
    said = DAMAGES[damage][2]
    with pytest.raises(DataError) as caught:
        prepared("stream", "stop", damage).reader("train")(np.arange(COUNT))
    assert f"{TRAIN}, record 13" in str(caught.value)
    assert said in str(caught.value)
    assert "Set dataset.on_error=skip to go on without" in str(caught.value)


@pytest.mark.parametrize("damage", ["checksum", "not decodable"])
def test_resident_split_names_the_file_and_the_record(prepared, damage: str) -> None:
    with pytest.raises(DataError) as caught:
        prepared("resident", "stop", damage).examples("train")
    assert f"{TRAIN}, record 13" in str(caught.value)
    assert "Set dataset.on_error=skip to go on without" in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_resident_split_goes_on_without_what_cannot_be_used(
    prepared, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    made = prepared("resident", "skip", damage)
    left = [i for i in range(COUNT) if i not in (13, 31)]
    assert _numbers(made.examples("train")) == left
    assert made.size("train") == COUNT - 2
    assert list(made.source.left_out) == ["train"]
    assert str(made.source.left_out["train"]).startswith(f"2 ({TRAIN}, record 13")
    logged = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert [
        line.startswith(f"left out: {TRAIN}, record {i}")
        for line, i in zip(logged, (13, 31), strict=True)
    ] == [True, True]


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "checksum"])
def test_stream_gives_no_weight_to_what_cannot_be_used(
    prepared, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    reader = prepared("stream", "skip", damage).reader("train")
    for _ in range(2):  # in each epoch
        found = reader(np.array([12, 13, 31, 14, 13]))
        assert found.weights.tolist() == [1, 0, 0, 1, 0]
        assert _numbers(found) == [12, 0, 0, 14, 0]  # the first that can be used stands for them
    assert reader.stored.left_out.count == 2  # each once
    assert len(caplog.records) == 2
    both = reader(np.array([31, 13]))
    assert (both.weights.tolist(), _numbers(both)) == ([0, 0], [0, 0])
    assert sum(len(part) for part in reader.in_order(20)) == COUNT - 2


def test_stream_knows_of_damaged_records_before_it_counts(prepared) -> None:
    reader = prepared("stream", "skip", "checksum").reader("train")
    assert len(reader) == COUNT - 2
    assert reader.stored.left_out.count == 2
    assert _numbers(reader(np.array([12, 13, 29, 30]))) == [12, 14, 30, 32]


def test_what_is_learnt_is_learnt_of_what_can_be_used(prepared) -> None:
    """One NaN among them, and every mean is NaN."""
    means = []
    for feed in ("resident", "stream"):
        made = prepared(feed, "skip", "NaN", standardize=Standardize())
        (learnt,) = made.preprocessing.describe().values()
        means.append(learnt["mean"])
    kept = [i for i in range(COUNT) if i not in (13, 31)]
    assert np.asarray(means).reshape(-1) == pytest.approx([np.mean(kept)] * 2, rel=1e-6)


def test_a_split_of_nothing_but_damage_is_an_error_under_either_feed(
    prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_of_them(i: int, example: tf.train.Example) -> None:
        example.features.feature["label"].int64_list.value[:] = [2]

    everything = (lambda folder: _rewrite(folder, all_of_them), "image", "")
    monkeypatch.setitem(DAMAGES, "label", everything)
    for feed in ("resident", "stream"):
        with pytest.raises(DataError, match="Not one example of split 'train' can be used"):
            prepared(feed, "skip", "label")


def test_whole_data_is_left_alone_by_skip(prepared) -> None:
    made = prepared("resident", "skip")
    assert made.examples("train").weights is None
    assert made.source.left_out == {}
    streamed = prepared("stream", "skip").reader("train")(np.arange(COUNT))
    assert streamed.weights.tolist() == [1.0] * COUNT
