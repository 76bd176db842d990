"""Examples that no model can learn from: the error names the split and the first of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline.config import Dataset, Splits
from pipeline.data import faults, source
from pipeline.data.examples import Examples
from pipeline.data.feed import ResidentFeed
from pipeline.data.splits import Split
from pipeline.errors import DataError

Write = Callable[..., Path]


@pytest.fixture
def measurements(write_dataset: Write) -> Callable[[np.ndarray], source.Source]:
    """``measurements(rows)``: training examples with these features, and two whole test ones."""

    def write(rows: np.ndarray) -> source.Source:
        def examples(rows: np.ndarray) -> list[dict[str, Any]]:
            return [{"values": row, "label": 0} for row in rows]

        folder = write_dataset(
            "measurements",
            {"train": examples(rows), "test": examples(np.zeros([2, *rows.shape[1:]], "f4"))},
            features={
                "values": tfds.features.Tensor(shape=rows.shape[1:], dtype=np.float32),
                "label": tfds.features.ClassLabel(num_classes=2),
            },
        )
        splits = Splits(train="train", validation="test", test="test")
        return source.load(
            Dataset(name="measurements", data_dir=str(folder), inputs="values", splits=splits)
        )

    return write


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")], ids=str
)
def test_feature_that_is_not_finite_is_refused_with_the_example_and_the_place(
    measurements, value: float, said: str
) -> None:
    rows = np.zeros([6, 2, 3], np.float32)
    rows[3, 1, 2] = rows[5, 0, 0] = value
    with pytest.raises(DataError) as caught:
        measurements(rows).split("train")
    assert str(caught.value) == (
        f"Split 'train': 'values' of example 3 holds {said} at [1, 2] (2 of 6 examples hold NaN or "
        "infinity). Mend the examples, or leave them out by a split expression such as train[4:]."
    )


def test_example_is_counted_over_all_pieces(measurements, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "ROWS", 2)
    rows = np.zeros([5, 3], np.float32)
    rows[4, 1] = np.nan
    with pytest.raises(DataError, match=r"of example 4 holds nan at \[1\] \(1 of 5 examples"):
        measurements(rows).split("train")


def test_other_splits_are_still_read(measurements) -> None:
    rows = np.full([3, 3], np.nan, np.float32)
    assert len(measurements(rows).split("test")) == 2


def test_scalar_feature_has_no_place(measurements) -> None:
    with pytest.raises(DataError, match=r"of example 1 holds nan \(1 of 2 examples"):
        measurements(np.array([0.0, np.nan], np.float32)).split("train")


def test_label_beyond_the_classes_is_refused_with_the_example(
    measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFDS does not write such labels, but may read them from files written elsewhere."""
    split = Split("train", np.zeros([4, 3], np.float32), np.array([0, 1, 2, 7], np.int32))
    monkeypatch.setattr(source, "read", lambda *_: split)
    with pytest.raises(DataError) as caught:
        measurements(np.zeros([4, 3], np.float32)).split("train")
    assert str(caught.value).startswith(
        "Split 'train': the label of example 2 is 2, outside 0..1 (2 of 4 examples are)."
    )


def test_split_that_is_smaller_than_one_batch_is_refused(strategy_of) -> None:
    examples = Examples(np.zeros([5, 3], "f4"), np.zeros(5, np.int32))
    feed = ResidentFeed(strategy_of(1), "train", examples, 8)
    with pytest.raises(DataError) as caught:
        assert feed.steps_per_epoch
    assert str(caught.value) == (
        "split 'train' has 5 examples, fewer than one batch: trainer.batch_size=8. Make the batch "
        "at most 5."
    )
