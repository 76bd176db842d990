"""Examples that are held out of the training split, in memory and from disk alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Dataset, Splits
from pipeline.data import hold_out, source
from pipeline.data.frame import Windows
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing
from pipeline.errors import ConfigError, DataError
from pipeline.preflight import check
from pipeline.train import compose

HELD_OUT = ["dataset.splits.validation=null", "dataset.splits.hold_out=0.1"]


@pytest.fixture
def images(write_dataset: Callable[..., Path]) -> Callable[..., Dataset]:
    """``images(hold_out=0.25)``: 60 numbered images, 30 of class 0, 20 of class 1, 10 of class 2;
    8 to test with."""
    labels = np.random.RandomState(0).permutation([0] * 30 + [1] * 20 + [2] * 10)

    def examples(labels: Any) -> list[Any]:
        return [{"image": np.full([28, 28, 1], i, "u1"), "label": y} for i, y in enumerate(labels)]

    folder = write_dataset("mnist", {"train": examples(labels), "test": examples(labels[:8])})

    def config(feed: str = "resident", train: str = "train", **splits: Any) -> Dataset:
        chosen = Splits(train=train, validation=None, test="test", **splits)
        return Dataset(name="mnist", data_dir=str(folder), splits=chosen, feed=feed)

    return config


def numbers(config: Dataset, role: str) -> tuple[list[int], list[int]]:
    """The images' numbers and labels, as a feed gets them in stored order."""
    parts = list(Prepared(source.load(config), Preprocessing()).parts(role, 7))
    inputs = np.concatenate([part.inputs[:, 0, 0, 0] for part in parts])
    return inputs.tolist(), np.concatenate([part.targets for part in parts]).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_train_and_validation_share_the_split_out(images, feed: str, stratify: bool) -> None:
    config = images(feed, hold_out=0.25, stratify=stratify)
    loaded = source.load(config)
    assert loaded.sizes == {"train": 45, "validation": 15, "test": 8}
    train, labels = numbers(config, "train")
    validation, held = numbers(config, "validation")
    assert sorted(train + validation) == list(range(60))
    assert (train, validation) == (sorted(train), sorted(validation))
    order = np.argsort(train + validation)
    every = np.array(labels + held)[order]
    expected = hold_out.hold_out(every, 0.25, stratify)
    assert [train, validation] == [part.tolist() for part in expected]
    if stratify:
        assert np.abs(np.bincount(held) - [7.5, 5, 2.5]).max() <= 0.5
    assert len(numbers(config, "test")[0]) == 8


def test_slice_is_divided_by_its_own_numbers(images) -> None:
    for feed in ("resident", "stream"):
        config = images(feed, train="train[20:40]", hold_out=0.25)
        both = numbers(config, "train")[0] + numbers(config, "validation")[0]
        assert sorted(both) == list(range(20, 40))


def test_both_parts_are_streamed_or_neither(images) -> None:
    config = images("auto", hold_out=0.1)
    config.memory = 54 * 28 * 28 / 2**20  # the training part fits
    assert not source.load(config).is_streamed("train")
    config.memory *= 0.99  # the part to validate with would fit still
    assert source.load(config).is_streamed("validation")
    assert not source.load(config).is_streamed("test")


def test_messages_name_the_part(images) -> None:
    loaded = source.load(images(hold_out=0.1))
    assert loaded.split("train").name == "train but the 0.1 held out"
    assert loaded.stored("validation").name == "0.1 of train, held out"


def test_damaged_records_are_not_divided(images) -> None:
    config = images("stream", hold_out=0.1)
    config.on_error = "skip"
    (record,) = Path(config.data_dir).glob("mnist/3.0.1/*train*")
    record.write_bytes(record.read_bytes()[:-9])
    with pytest.raises(DataError, match="is damaged, and dataset.splits.hold_out divides whole"):
        numbers(config, "train")


def test_numbers_have_no_classes_to_stratify_by(images) -> None:
    config = images(hold_out=0.1, stratify=True)
    config.target = "image"
    with pytest.raises(DataError) as caught:
        source.load(config, "numbers").split("train")
    assert str(caught.value) == (
        "dataset.splits.stratify takes each class in proportion, but what is predicted is no class "
        "of an example (dataset.target=image). Set dataset.splits.stratify=false."
    )


def test_sequence_is_not_divided(images) -> None:
    with pytest.raises(DataError, match="Windows makes one sequence of a whole split, and"):
        Prepared(source.load(images(hold_out=0.1)), Preprocessing(), Windows(3))


def test_one_example_is_not_divided(images) -> None:
    with pytest.raises(DataError, match="1 example cannot be divided; two at least are needed"):
        source.load(images(train="train[:1]", hold_out=0.5))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            HELD_OUT[1:],
            "dataset.splits.hold_out: 0.1 of the training split, but splits.validation=validation "
            "is given too; write dataset.splits.validation=null to hold out, or "
            "dataset.splits.hold_out=null to keep that split",
        ),
        (
            HELD_OUT[:1],
            "dataset.splits.validation: null, and nothing is held out; name a split, or write "
            "dataset.splits.hold_out=0.1 to validate with a tenth of the training split",
        ),
        (
            ["dataset.splits.stratify=true"],
            "dataset.splits.stratify: nothing is held out that could be; add "
            "dataset.splits.hold_out=0.1 and dataset.splits.validation=null",
        ),
        (
            [HELD_OUT[0], "dataset.splits.hold_out=1"],
            "dataset.splits.hold_out: 1.0 is out of range; a number in (0, 1) is expected",
        ),
    ],
    ids=["both", "neither", "nothing", "all"],
)
def test_config_holds_out_or_names_a_split(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(compose("train", overrides))
    assert str(caught.value) == text


@pytest.mark.exhaustive
def test_run_comes_out_the_same_from_memory_and_from_disk(tmp_path: Path) -> None:
    from pipeline.train import fit

    shared = [*HELD_OUT, "dataset.splits.stratify=true", "trainer.duration=5 steps"]
    shared += ["trainer.evaluate_every=5 steps", "trainer.compile=off", "tracking=off"]
    runs = [
        fit(compose("train", [*shared, f"dataset.feed={feed}"])) for feed in ("resident", "stream")
    ]
    assert runs[0].metrics == runs[1].metrics
    assert "val/loss" in runs[0].metrics
