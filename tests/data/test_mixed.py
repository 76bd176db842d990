"""Several sets as one training split: what is in it, what is learnt of it, what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline import prepare
from pipeline.config import Dataset, Splits
from pipeline.data import source
from pipeline.data.frame import Windows
from pipeline.data.mixed import MixedSource, mixed
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing, Resize, Standardize
from pipeline.data_parts import order_of
from pipeline.describing import Described
from pipeline.errors import DataError

SIZE = (4, 4, 1)
CLASSES = tfds.features.ClassLabel(names=["a", "b", "c"])


def images(first: int, count: int, shape: tuple[int, ...] = SIZE, kind: str = "u1") -> list[Any]:
    """Each filled with its number."""
    numbers = range(first, first + count)
    return [{"image": np.full(shape, i, kind), "label": i % 3} for i in numbers]


def features(shape: tuple[int, ...] = SIZE, kind: str = "u1", label: Any = CLASSES) -> Any:
    return {"image": tfds.features.Tensor(shape=shape, dtype=np.dtype(kind).type), "label": label}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_into: Callable[..., Path]) -> Path:
    """Of ``own`` with 12, 3 and 3 images, and of others that can be mixed in, or cannot."""
    folder = tmp_path_factory.mktemp("mixed")
    splits = {"train": images(0, 12), "validation": images(50, 3), "test": images(60, 3)}
    write_into(folder, "own", splits, features=features())
    write_into(folder, "other", {"all_of_it": images(100, 5)}, features=features())
    write_into(folder, "third", {"train": images(200, 2)}, features=features())
    big = (8, 8, 1)
    write_into(folder, "larger", {"train": images(100, 5, big)}, features=features(big))
    write_into(folder, "floats", {"train": images(0, 5, kind="f4")}, features=features(kind="f4"))
    gaps = images(100, 4, kind="f4")
    gaps[1]["image"][0, 0, 0] = np.nan
    write_into(folder, "gaps", {"train": gaps}, features=features(kind="f4"))
    for name, label in {
        "four": tfds.features.ClassLabel(num_classes=4),
        "renamed": tfds.features.ClassLabel(names=["a", "c", "b"]),
    }.items():
        write_into(folder, name, {"train": images(0, 5)}, features=features(label=label))
    plain = {"picture": tfds.features.Tensor(shape=SIZE, dtype=np.uint8), "label": CLASSES}
    other = [{"picture": e["image"], "label": e["label"]} for e in images(0, 2)]
    write_into(folder, "otherwise", {"train": other}, features=plain)
    return folder


@pytest.fixture
def config(folder: Path) -> Callable[..., Dataset]:
    """``config("resident", other={"share": 0.25}, …)``; a set's name is its key in the mix."""

    def make(feed: str = "resident", **mix: Any) -> Dataset:
        parts = {name: {"name": name} | part for name, part in mix.items()}
        return Dataset(name="own", data_dir=str(folder), mix=parts, feed=feed)

    return make


def two(config: Callable[..., Dataset], feed: str = "resident") -> Dataset:
    return config(feed, other={"share": 0.2, "split": "all_of_it"}, third={"share": 0.2})


def prepared(config: Dataset, **steps: Any) -> Prepared:
    return Prepared(mixed(source.load(config)), Preprocessing(steps))


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_examples_of_all_sets_are_numbered_through(config, feed: str) -> None:
    found = prepared(two(config, feed))
    assert found.source.sizes == {"train": 19, "validation": 3, "test": 3}
    parts = list(found.parts("train", 7))
    numbers = [*range(12), *range(100, 105), 200, 201]
    inputs, labels = (
        np.concatenate([getattr(part, key) for part in parts]) for key in ("inputs", "targets")
    )
    assert inputs[:, 0, 0, 0].tolist() == numbers
    assert labels.tolist() == [number % 3 for number in numbers]
    validation = np.concatenate([part.inputs for part in found.parts("validation")])
    assert validation[:, 0, 0, 0].tolist() == [50, 51, 52]
    assert found.size("train") == 19
    assert found.in_epoch() == {"": 12, "other": 4, "third": 4}
    order = order_of(found, "train", 19, 4)
    assert (order.size, order_of(found, "test", 3, 1).size) == (20, 3)
    if feed == "stream":
        at = np.array([18, 3, 12, 3, 16])
        read = found.reader("train")(at)
        assert read.inputs[:, 0, 0, 0].tolist() == [201, 3, 100, 3, 104]


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_preprocessing_learns_of_all_sets(config, feed: str) -> None:
    found = prepared(two(config, feed), standardize=Standardize())
    (learnt,) = found.preprocessing.describe().values()
    values = [*range(12), *range(100, 105), 200, 201]
    assert learnt["mean"] == pytest.approx([np.mean(values)], rel=1e-5)


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_digest_is_of_all_sets(config, feed: str) -> None:
    both, one = prepared(two(config, feed)), prepared(replace(two(config, feed), mix={}))
    digests = both.digests_of_sets("train")
    assert [*digests] == ["", "other", "third"]
    assert len({both.digest("train"), *digests.values()}) == 4
    assert digests[""] == one.digest("train")
    assert both.digest("test") == one.digest("test")


def test_mix_is_described(config) -> None:
    described = Described(prepared(two(config)))
    assert described.facts()["mix"] == (
        "own 60.0%, 12 an epoch of the 12 in own/3.0.1 train; "
        "other 20.0%, 4 an epoch of the 5 in other/3.0.1 all_of_it; "
        "third 20.0%, 4 an epoch of the 2 in third/3.0.1 train"
    )
    assert described.splits().rows[0][:3] == ("train", "train + other + third", "19")
    assert "mix" not in Described(prepared(replace(two(config), mix={}))).facts()


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_examples_of_other_sizes_are_made_even(config, feed: str) -> None:
    given = config(feed, larger={"share": 0.5})
    found = prepared(given, resize=Resize(4, 4))
    inputs = np.concatenate([part.inputs for part in found.parts("train", 6)])
    assert inputs.shape == (17, 4, 4, 1)
    np.testing.assert_allclose(inputs[:, 0, 0, 0], [*range(12), *range(100, 105)])
    with pytest.raises(DataError) as caught:
        prepared(given)
    assert str(caught.value) == (
        "dataset.mix.larger: examples of larger/3.0.1 are 8x8x1 uint8, and those of own/3.0.1 are "
        "4x4x1 uint8. A batch needs one size: add a step to dataset.preprocess that gives them one "
        "(pipeline.data.preprocess.Resize for images, Pad for sequences), or mix in another set."
    )


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_what_is_left_out_of_each_set_is_counted(
    config, folder: Path, tmp_path: Path, feed: str
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for name, split in {"own": "train", "other": "all_of_it"}.items():
        (file,) = (tmp_path / name).glob(f"*/{name}-{split}.tfrecord*")
        content = bytearray(file.read_bytes())
        content[-5] ^= 0x10  # the end of the last record
        file.write_bytes(content)
    given = replace(two(config, feed), data_dir=str(tmp_path), on_error="skip")
    found = prepared(given)
    assert found.sizes_of_sets("train") == {"": 11, "other": 4, "third": 2}
    assert sum(len(part) for part in found.parts("train", 5)) == 17
    left_out = found.source.left_out["train"]
    assert left_out.count == 2
    assert [line.partition(",")[0] for line in left_out.first] == [
        "own-train.tfrecord-00000-of-00001",
        "other-all_of_it.tfrecord-00000-of-00001",
    ]


def test_what_cannot_be_used_has_no_weight_in_its_place(config, folder: Path) -> None:
    given = config("stream", gaps={"share": 0.5})
    given = replace(given, name="floats", on_error="skip", splits=Splits(*["train"] * 3))
    found = prepared(given)
    read = found.reader("train")(np.array([6, 1, 7, 4, 6, 5]))  # 6 holds NaN
    np.testing.assert_array_equal(read.weights, [0, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal(read.inputs[[1, 2, 3, 5], 0, 0, 0], [1, 102, 4, 100])
    assert read.targets[[1, 2, 3, 5]].tolist() == [1, 0, 1, 1]
    assert found.source.left_out["train"].count == 1


@pytest.mark.parametrize(
    ("mix", "text"),
    [
        (
            {"otter": {"share": 0.1}},
            "dataset.mix.otter: There is no TFDS dataset 'otter', in the code or in {folder}. ",
        ),
        (
            {"o": {"name": "a b", "share": 0.1}},
            "dataset.mix.o.name='a b' is not a TFDS name. Expected name, name/config or ",
        ),
        (
            {"mnist": {"share": 0.1}},
            "dataset.mix.mnist: mnist/3.0.1 is not prepared: {folder}/mnist/3.0.1 does not hold it."
            "\nPrepare it once (this downloads it): python -m pipeline.prepare dataset=mnist "
            "dataset.data_dir={folder}\nIf it lies elsewhere, set dataset.mix.mnist.data_dir or ",
        ),
        (
            {"other": {"share": 0.1}},
            "dataset.mix.other.split=train: other/3.0.1 has no split 'train'. Valid: all_of_it.",
        ),
        (
            {"otherwise": {"share": 0.1}},
            "dataset.mix.otherwise: dataset.inputs=image: otherwise/3.0.1 has no feature 'image'.",
        ),
        (
            {"floats": {"share": 0.1}},
            "dataset.mix.floats: 'image' of floats/3.0.1 is float32, but that of own/3.0.1 is "
            "uint8. One preprocessing serves all, so sets that are mixed are stored alike.",
        ),
        (
            {"four": {"share": 0.1}},
            "dataset.mix.four: four/3.0.1 has 4 classes in label, but own/3.0.1 has 3. Sets that "
            "are mixed have the same ones.",
        ),
        (
            {"renamed": {"share": 0.1}},
            "dataset.mix.renamed: class 1 of renamed/3.0.1 is 'c', but that of own/3.0.1 is 'b'. "
            "Sets that are mixed have the same classes in the same order.",
        ),
        (
            {"third": {"share": 0.03}},
            "dataset.mix.third.share=0.03: of an epoch with 12 examples of own/3.0.1 that is less "
            "than one of third. Use a larger share.",
        ),
    ],
    ids=str,
)
def test_sets_that_cannot_be_mixed_are_refused(config, folder: Path, mix: Any, text: str) -> None:
    with pytest.raises(DataError) as caught:
        prepared(config(**mix)).in_epoch()
    assert str(caught.value).startswith(text.format(folder=folder))


def test_one_sequence_is_not_made_of_several_sets(config) -> None:
    with pytest.raises(DataError) as caught:
        Prepared(mixed(source.load(two(config))), Preprocessing(), Windows(3))
    assert str(caught.value) == (
        "dataset.frame=Windows makes one sequence of a whole split, and dataset.mix makes one "
        "split of several sets: windows would reach from one into another. Leave one of them out."
    )


def test_held_out_examples_are_the_dataset_s_own(config) -> None:
    given = two(config)
    splits = Splits(train="train", validation=None, test="test", hold_out=0.25)
    found = mixed(source.load(replace(given, splits=splits)))
    assert isinstance(found, MixedSource)
    assert found.sizes == {"train": 16, "validation": 3, "test": 3}
    held = found.split("validation").inputs[:, 0, 0, 0].tolist()
    assert held[-1] < 12
    train = found.split("train").inputs[:, 0, 0, 0].tolist()
    assert sorted(train + held) == [*range(12), *range(100, 105), 200, 201]


@pytest.mark.slow
def test_what_is_mixed_is_prepared_with_the_dataset(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["dataset=tfds", "dataset.name=own", f"dataset.data_dir={folder}"]
    wine = ["+dataset.mix.more.name=wine", f"+dataset.mix.more.data_dir={tmp_path}"]
    prepare.main([*given, *wine, "+dataset.mix.more.share=0.1"])
    first, second = capfd.readouterr().out.splitlines()
    assert first.startswith(f"already prepared own/3.0.1 at {folder}/own/3.0.1: train 12, ")
    assert second.startswith(f"prepared wine/1.0.0 at {tmp_path}/wine/1.0.0: train ")
    with pytest.raises(DataError, match=r"^dataset\.mix\.more: There is no TFDS dataset 'wimne'"):
        prepare.main([*given, "+dataset.mix.more.name=wimne", "+dataset.mix.more.share=0.1"])
