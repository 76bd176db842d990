"""Examples by number: what TFDS reads, in its order, and each damaged one named by its place."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data import catalogue, tfrecord
from pipeline.data import records as module
from pipeline.data.decoder import Decoder
from pipeline.data.records import Bad, Records
from pipeline.errors import DataError

TRAIN, TEST = 23, 7  # in shards of 6, 6, 5, 6 and of 4, 3
FIRST, SECOND, THIRD, FOURTH = (f"numbers-train.tfrecord-0000{i}-of-00004" for i in range(4))


def _write(folder: Path, shards: int = 1, **options: Any) -> Any:
    options.setdefault("features", {"x": tfds.features.Tensor(shape=(2,), dtype=np.float32)})
    tfds.dataset_builders.store_as_tfds_dataset(
        name="numbers",
        version="1.0.0",
        features=tfds.features.FeaturesDict(options.pop("features")),
        split_datasets={name: list(enumerate(of)) for name, of in options.pop("splits").items()},
        data_dir=folder,
        download_config=tfds.download.DownloadConfig(num_shards=shards),
        **options,
    )
    return tfds.builder_from_directory(folder / "numbers" / "1.0.0")


def _numbers(*values: int) -> list[dict[str, Any]]:
    return [{"x": np.array([value, -value], np.float32)} for value in values]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``train`` of 0 to 22, ``test`` of 100 to 106 in another order than that, in four shards."""
    folder = tmp_path_factory.mktemp("written")
    splits = {"train": _numbers(*range(TRAIN)), "test": _numbers(*range(100, 100 + TEST))}
    _write(folder, shards=4, splits=splits)
    return folder / "numbers" / "1.0.0"


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(
        shutil.copytree(
            written, tmp_path / "numbers" / "1.0.0", ignore=shutil.ignore_patterns(".offsets")
        )
    )


def _by_tfds(folder: Path, expression: str) -> list[int]:
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    dataset = tfds.builder_from_directory(folder).as_dataset(
        split=expression, shuffle_files=False, read_config=config
    )
    return [int(example["x"][0]) for example in dataset.as_numpy_iterator()]


def _open(folder: Path, expression: str = "train", on_error: str = "stop") -> Records:
    return Records(tfds.builder_from_directory(folder), expression, on_error)


def _values(records: Records, indices: Any = None) -> list[int]:
    decode = Decoder(records.builder, ["x"])
    indices = np.arange(len(records)) if indices is None else np.array(indices)
    return records.decoded(indices, decode)["x"][:, 0].astype(int).tolist()


def _places(folder: Path, shard: str) -> np.ndarray:
    path = folder / shard
    return tfrecord._walk(str(path), path.stat().st_size).offsets


def _flip(folder: Path, shard: str, at: int) -> None:
    content = bytearray((folder / shard).read_bytes())
    content[at] ^= 0x10
    (folder / shard).write_bytes(content)


@pytest.mark.parametrize(
    "expression",
    [
        "train",
        "train[:90%]",
        "train[90%:]",
        "train[5:17]",
        "train[-3:]",
        "train[1shard]",
        "test+train",
        "train[:3]+train[20:]+test[2:]",
        "train[4:9]+train[4:9]",
        "all",
    ],
)
def test_examples_and_their_order_are_those_of_tfds(written: Path, expression: str) -> None:
    by_tfds = _by_tfds(written, expression)
    records = _open(written, expression)
    assert len(records) == len(by_tfds)
    assert _values(records) == by_tfds
    order = np.random.default_rng(0).integers(0, len(records), 50)
    assert _values(records, order) == [by_tfds[i] for i in order]


def test_place_of_an_example_is_its_file_and_its_number_in_there(written: Path) -> None:
    records = _open(written, "train[4:9]+test")
    for i in range(len(records)):
        shard, at = records.where(i)
        in_file = list(tf.data.TFRecordDataset(str(written / shard)).as_numpy_iterator())
        assert records.serialized(np.array([i]))[0] == in_file[at]


def test_builder_with_its_own_code_is_read_as_well() -> None:
    catalogue.prepare(Dataset(name="digits"))
    builder = catalogue.open_builder(Dataset(name="digits"))
    records = Records(builder, "test[:20]")
    dataset = builder.as_dataset(split="test[:20]")
    expected = [example["image"] for example in dataset.as_numpy_iterator()]
    decoded = records.decoded(np.arange(20), Decoder(builder, ["image"]))
    np.testing.assert_array_equal(decoded["image"], expected)


@pytest.mark.parametrize("index", [-1, 5])
def test_example_that_is_not_there_is_refused(written: Path, index: int) -> None:
    records = _open(written, "train[:5]")
    with pytest.raises(IndexError, match=rf"'train\[:5\]' has the examples 0 to 4, not {index}"):
        records.serialized(np.array([0, index]))


def test_no_example_is_asked_for(written: Path) -> None:
    assert _open(written).serialized(np.array([], np.int64)).shape == (0,)


def test_threads_read_what_one_reads_with_few_files_open(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OPEN_FILES", 1)
    before = len(os.listdir("/proc/self/fd"))
    records = _open(written, "all")
    alone = records.serialized(np.arange(len(records)))

    def read(seed: int) -> bool:
        order = np.random.default_rng(seed).permutation(len(records))
        return bool((records.serialized(order) == alone[order]).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(100)))
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_large_dataset_is_announced_once(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_LARGE", 100)
    with caplog.at_level(logging.WARNING, module.__name__):
        _open(copied)
        _open(copied)
    assert [record.message for record in caplog.records] == [
        "looking through 0 GB of records for damage, once"
    ]


# Damage: (what is done to the second shard, what is said of which record, examples that are left).


def _damage_data(folder: Path) -> None:
    _flip(folder, SECOND, int(_places(folder, SECOND)[2]) + 15)


def _damage_data_checksum(folder: Path) -> None:
    _flip(folder, SECOND, int(_places(folder, SECOND)[3]) - 1)


def _damage_length(folder: Path) -> None:
    _flip(folder, SECOND, int(_places(folder, SECOND)[2]))


def _damage_length_checksum(folder: Path) -> None:
    _flip(folder, SECOND, int(_places(folder, SECOND)[2]) + 9)


def _cut(folder: Path, at: int) -> None:
    os.truncate(folder / SECOND, at)


LENGTH = "its length does not match its checksum, and 4 records from 2 on cannot be found"
MIDDLE = "the file ends in the middle of it, and 4 records from 2 on cannot be found"
DAMAGES: dict[str, tuple[Callable[[Path], None], str, int]] = {
    "data": (_damage_data, "its data does not match its checksum", 1),
    "checksum": (_damage_data_checksum, "its data does not match its checksum", 1),
    "length": (_damage_length, LENGTH, 4),
    "length checksum": (_damage_length_checksum, LENGTH, 4),
    "cut in the data": (lambda f: _cut(f, int(_places(f, SECOND)[2]) + 20), MIDDLE, 4),
    "cut in the length": (lambda f: _cut(f, int(_places(f, SECOND)[2]) + 5), MIDDLE, 4),
    "cut in the last checksum": (
        lambda f: _cut(f, int(_places(f, SECOND)[6]) - 1),
        "the file ends in the middle of it",
        1,
    ),
    "cut between records": (
        lambda f: _cut(f, int(_places(f, SECOND)[2])),
        "the file ends before it, and 4 records from 2 on cannot be found",
        4,
    ),
    "emptied": (
        lambda f: _cut(f, 0),
        "the file ends before it, and 6 records from 0 on cannot be found",
        6,
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_record_is_named_or_left_out(copied: Path, damage: str) -> None:
    whole = _by_tfds(copied, "train")
    do, reason, lost = DAMAGES[damage]
    do(copied)
    record = {"cut in the last checksum": 5, "emptied": 0}.get(damage, 2)
    with pytest.raises(DataError) as caught:
        _open(copied)
    assert f"{lost} of the 23 records of 'train' cannot be read" in str(caught.value)
    assert f"\n{SECOND}, record {record}: {reason}.\n" in str(caught.value)

    records = _open(copied, on_error="skip")
    assert records.bad == [Bad(SECOND, record, reason)]
    assert records.left_out == lost
    left = whole[: 6 + record] + whole[6 + record + lost :]
    assert len(records) == len(left)
    assert _values(records) == left
    assert records.where(6 + record)[0] == (SECOND if 6 + record + lost < 12 else THIRD)


def test_error_says_what_is_damaged_and_what_to_do(copied: Path) -> None:
    for shard, record in [(SECOND, 2), (SECOND, 4), (FOURTH, 0)]:
        _flip(copied, shard, int(_places(copied, shard)[record]) + 15)
    with pytest.raises(DataError) as caught:
        _open(copied)
    assert str(caught.value) == (
        f"numbers/1.0.0 in {copied} is damaged: 3 of the 23 records of 'train' cannot be read.\n"
        f"{SECOND}, record 2: its data does not match its checksum.\n"
        f"{SECOND}, record 4: its data does not match its checksum.\n"
        f"{FOURTH}, record 0: its data does not match its checksum.\n"
        "Set dataset.on_error=skip to go on without them, or delete the folder and prepare the "
        "dataset again."
    )


def test_many_damaged_records_are_counted(copied: Path) -> None:
    for shard in (FIRST, SECOND):
        for start in _places(copied, shard)[:-1]:
            _flip(copied, shard, int(start) + 15)
    with pytest.raises(DataError) as caught:
        _open(copied)
    assert "12 of the 23 records" in str(caught.value)
    assert str(caught.value).count("record 0") == 1
    assert "\n… and 7 more.\n" in str(caught.value)


def test_damage_outside_of_the_expression_stops_nobody(copied: Path) -> None:
    whole = _by_tfds(copied, "train")
    _damage_data(copied)  # example 8
    _flip(copied, FOURTH, int(_places(copied, FOURTH)[3]))  # example 20
    assert _values(_open(copied, "train[:8]+train[9:20]")) == whole[:8] + whole[9:20]
    assert len(_open(copied, "test")) == TEST


def test_records_after_a_damaged_length_are_lost_to_a_slice_that_begins_after_it(
    copied: Path,
) -> None:
    _damage_length(copied)
    records = _open(copied, "train[9:14]", on_error="skip")
    reason = "its length does not match its checksum, and 3 records from 3 on cannot be found"
    assert records.bad == [Bad(SECOND, 2, reason)]
    assert (records.left_out, len(records)) == (3, 2)
    one = _open(copied, "train[11:14]", on_error="skip")
    reason = "its length does not match its checksum, and record 5 cannot be found"
    assert one.bad == [Bad(SECOND, 2, reason)]


def test_nothing_that_can_be_read_is_an_error_whatever_is_skipped(copied: Path) -> None:
    _damage_length(copied)
    with pytest.raises(DataError) as caught:
        _open(copied, "train[8:12]", on_error="skip")
    assert str(caught.value) == (
        f"Not one record of 'train[8:12]' of numbers/1.0.0 in {copied} can be read. "
        "Delete the folder and prepare the dataset again."
    )


def test_file_that_is_missing_is_named(copied: Path) -> None:
    (copied / THIRD).unlink()
    with pytest.raises(DataError) as caught:
        _open(copied, on_error="skip")
    assert str(caught.value).startswith(f"{copied / THIRD} is missing. Copy it from")


def test_file_of_another_dataset_is_refused(copied: Path) -> None:
    with open(copied / SECOND, "ab") as file:
        file.write((copied / FIRST).read_bytes())
    with pytest.raises(DataError) as caught:
        _open(copied, on_error="skip")
    assert str(caught.value) == (
        f"{copied / SECOND} holds 12 records, but dataset_info.json beside it says 6: they are not "
        "of one dataset. Delete the folder and prepare the dataset again."
    )


def test_other_file_formats_are_refused_with_what_to_do(tmp_path: Path) -> None:
    builder = _write(tmp_path, splits={"train": _numbers(1, 2)}, file_format="array_record")
    with pytest.raises(DataError) as caught:
        Records(builder, "train")
    assert str(caught.value) == (
        f"numbers/1.0.0 in {tmp_path}/numbers/1.0.0 is stored as array_record, but examples are "
        "read from tfrecord files. Delete the folder and prepare the dataset again, or set "
        "dataset.data_dir to another folder and prepare it there: that writes tfrecord."
    )


# What is inside a record.

PICTURE = np.zeros([2, 2, 3], np.uint8)


def _pictures(folder: Path, *images: Any, shape: Any = (2, 2, 3)) -> Records:
    builder = _write(
        folder,
        features={"image": tfds.features.Image(shape=shape)},
        splits={"train": [{"image": image} for image in images]},
        disable_shuffling=True,
    )
    return Records(builder, "train")


def test_example_that_cannot_be_decoded_is_named_with_how_to_leave_it_out(tmp_path: Path) -> None:
    records = _pictures(tmp_path, PICTURE, PICTURE, b"no picture", PICTURE)
    decode = Decoder(records.builder, ["image"])
    assert len(records.decoded(np.array([3, 1]), decode)["image"]) == 2
    with pytest.raises(DataError) as caught:
        records.decoded(np.array([3, 2, 1]), decode)
    first, last = str(caught.value).split("\n")
    assert first.startswith(
        "numbers-train.tfrecord-00000-of-00001, record 2 (numbers/1.0.0 in "
        f"{tmp_path}/numbers/1.0.0) cannot be decoded: Unknown image file format."
    )
    assert last == (
        "Its checksum is right: this is what was written. Set dataset.on_error=skip to go on "
        "without such examples, leave it out by a split expression like train[:2]+train[3:], or "
        "mend the data and prepare the dataset again."
    )
    without = Records(records.builder, "train[:2]+train[3:]")
    assert len(without.decoded(np.arange(3), decode)["image"]) == 3


@pytest.mark.parametrize(("at", "expected"), [(0, "train[1:]"), (2, "train[:2]")])
def test_way_to_leave_out_the_first_or_the_last(tmp_path: Path, at: int, expected: str) -> None:
    images: list[Any] = [PICTURE] * 3
    images[at] = b"no picture"
    records = _pictures(tmp_path, *images)
    with pytest.raises(DataError, match="split expression like ") as caught:
        records.decoded(np.arange(3), Decoder(records.builder, ["image"]))
    assert f"like {expected}, or mend" in str(caught.value)


def test_examples_of_many_sizes_are_not_called_undecodable(tmp_path: Path) -> None:
    records = _pictures(tmp_path, PICTURE, PICTURE[:1], shape=(None, None, 3))
    decode = Decoder(records.builder, ["image"])
    assert [len(records.decoded(np.array([i]), decode)["image"][0]) for i in (0, 1)] == [2, 1]
    with pytest.raises(
        DataError, match=r"Examples of 'train' of numbers/1\.0\.0 .* differ in size"
    ):
        records.decoded(np.arange(2), decode)
