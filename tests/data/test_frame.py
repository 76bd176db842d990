"""Targets that are the inputs, later."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.frame import NextToken, Windows


def test_next_token_shifts_by_one() -> None:
    x = np.arange(12).reshape(3, 4)
    inputs, targets = NextToken()(x)
    np.testing.assert_array_equal(inputs, [[0, 1, 2], [4, 5, 6], [8, 9, 10]])
    np.testing.assert_array_equal(targets, inputs + 1)
    inputs, targets = NextToken()(tf.constant(x))
    np.testing.assert_array_equal(targets, x[:, 1:])
    for wrong in (x[:, :1], x[0]):
        with pytest.raises(ValueError, match="NextToken takes sequences of two steps or more"):
            NextToken()(wrong)


@pytest.mark.parametrize(
    ("stride", "horizon", "starts"),
    [(None, 1, [0, 3, 6]), (1, 1, [0, 1, 2, 3, 4, 5, 6]), (2, 3, [0, 2, 4]), (5, 7, [0])],
)
def test_windows_and_what_comes_later(stride: int | None, horizon: int, starts: list) -> None:
    x = np.arange(20).reshape(10, 2)
    inputs, targets = Windows(3, stride, horizon)(x)
    assert len(inputs) == Windows(3, stride, horizon).count(10) == len(starts)
    for window, later, start in zip(inputs, targets, starts, strict=True):
        np.testing.assert_array_equal(window, x[start : start + 3])
        np.testing.assert_array_equal(later, x[start + horizon : start + horizon + 3])
    assert np.shares_memory(inputs, x)  # a stride of 1 would take length times the memory
    assert np.shares_memory(targets, x)


def test_the_one_example_of_a_split_is_the_sequence() -> None:
    inputs, targets = Windows(4)(np.arange(9)[np.newaxis])
    np.testing.assert_array_equal(inputs, [[0, 1, 2, 3], [4, 5, 6, 7]])
    np.testing.assert_array_equal(targets, inputs + 1)


def test_a_split_without_a_window_is_an_error() -> None:
    assert len(Windows(4, horizon=2)(np.arange(6))[0]) == 1
    with pytest.raises(ValueError) as error:  # noqa: PT011 the text is looked at below
        Windows(4, horizon=2)(np.arange(5))
    assert str(error.value) == (
        "there are 5 steps, but a window and its target take 6 (length=4, horizon=2). Make the "
        "split larger, or dataset.frame.length at most 3."
    )
    for options in ({"length": 0}, {"length": 1, "stride": 0}, {"length": 1, "horizon": 0}):
        with pytest.raises(ValueError, match="=0; at least 1 is expected"):
            Windows(**options)
