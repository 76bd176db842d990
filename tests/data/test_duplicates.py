"""Examples that occur more than once, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.data.duplicates import Repeats, digests, repeats

IMAGES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)


def test_known_examples_and_those_with_another_target_are_counted() -> None:
    train = digests(IMAGES[[0, 1, 2, 2, 3, 3]], np.array([0, 1, 2, 2, 3, 4]))
    test = digests(IMAGES[[0, 1, 2, 5]], np.array([0, 7, 2, 5]))
    assert repeats(test, train) == Repeats(4, known=3, changed=1)
    assert repeats(train, train) == Repeats(6, known=2, changed=1)


def test_without_targets_only_the_inputs_count() -> None:
    train = digests(IMAGES[:4])
    assert repeats(digests(IMAGES[3:]), train) == Repeats(3, known=1, changed=0)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_several_features_are_one_example(dtype: str) -> None:
    columns = {"a": np.array([0, 1, 1], dtype), "b": np.array([1, 0, 0], dtype)}
    found = digests(columns)
    assert len(set(found.inputs.tolist())) == 2  # (0, 1) is not (1, 0)
    assert found.inputs[1] == found.inputs[2]


def test_text_and_arrays_of_several_sizes() -> None:
    texts = {"a": np.array([b"ab", b"a"], object), "b": np.array([b"c", b"bc"], object)}
    assert len(set(digests(texts).inputs.tolist())) == 2  # what ends one begins no other
    arrays = np.empty([3], object)
    arrays[:] = [np.zeros([2, 3]), np.zeros([3, 2]), np.zeros([2, 3])]
    first, second, third = digests(arrays).inputs.tolist()
    assert first == third != second
