"""The order in which an epoch visits several sets: each in its share, each gone through in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.mixing import Mixing, alternating, counted
from pipeline.data.order import Order

# Examples of each set, and how many an epoch has: a part of a set, some passes, one example.
SIZES, COUNTS = (40, 30, 7, 1), (40, 13, 25, 3)


@pytest.fixture(scope="module")
def order() -> Any:
    """``order(seed, epoch)`` in graph, which takes a hundredth of the time."""
    signature = [tf.TensorSpec([], tf.int64)] * 2
    return tf.function(Mixing(SIZES, COUNTS, 8), input_signature=signature, autograph=False)


def visits(order: Any, number: int, epochs: int, seed: int = 0) -> np.ndarray:
    """The examples of a set that these epochs visit, in order, by their numbers in the set."""
    every = np.concatenate([order(seed, epoch).numpy() for epoch in range(epochs)])
    first = sum(SIZES[:number])
    return every[(every >= first) & (every < first + SIZES[number])] - first


def test_an_epoch_has_the_own_examples_once_and_of_the_others_their_share(order: Any) -> None:
    assert counted(300, [0.25]) == [100]
    assert counted(100, [0.1, 0.4]) == [20, 80]
    assert counted(10, [0.02]) == [0]
    assert Mixing(SIZES, COUNTS, 8).size == 81
    for number, count in enumerate(COUNTS):
        assert len(visits(order, number, 1)) == count


def test_own_examples_come_as_they_do_without_a_mix(order: Any) -> None:
    for epoch in (0, 5):
        found = order(3, epoch).numpy()
        alone = Order("shuffled", 40, 8)(3, epoch)
        np.testing.assert_array_equal(found[found < 40], alone)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_example_comes_again_before_all_of_its_set_have_come(order: Any, number: int) -> None:
    size = SIZES[number]
    found = visits(order, number, 12)
    passes = found[: len(found) // size * size].reshape([-1, size])
    assert len(passes) >= 5
    np.testing.assert_array_equal(np.sort(passes), np.tile(np.arange(size), [len(passes), 1]))
    if size > 1:
        assert len(np.unique(passes, axis=0)) == len(passes)  # each in an order of its own


def test_seed_and_set_decide_the_order(order: Any) -> None:
    assert visits(order, 1, 3, seed=0).tolist() != visits(order, 1, 3, seed=1).tolist()
    found = Mixing((5, 30, 30), (5, 30, 30), 5)(0, 0).numpy()
    first, second = found[(found >= 5) & (found < 35)] - 5, found[found >= 35] - 35
    assert first.tolist() != second.tolist()


def test_of_two_sets_every_stretch_has_its_share_to_within_one() -> None:
    for counts in ((400, 133), (100, 900), (64, 64), (997, 3)):
        visited = Mixing((counts[0], 50), counts, 8)(0, 0).numpy()
        second = np.cumsum(np.append(0, visited >= counts[0]))
        share = counts[1] / sum(counts)
        for length in (1, 2, 7, 32, 64):
            held = second[length:] - second[:-length]
            assert abs(held - share * length).max() <= 1.0 + 1e-9


def test_a_batch_of_several_sets_has_all_of_them() -> None:
    held = alternating((300, 200, 100))[:590].reshape([59, 10])
    for first, last, expected in ((0, 300, 5), (300, 500, 10 / 3), (500, 600, 5 / 3)):
        counts = ((held >= first) & (held < last)).sum(1)
        assert abs(counts - expected).max() < 1.5


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_the_graph_gives_what_python_gives(order: Any, compiled: bool) -> None:
    eager = Mixing(SIZES, COUNTS, 8)
    in_graph = tf.function(eager, jit_compile=True, autograph=False) if compiled else order
    for epoch in (0, 1, 10**6):
        found = in_graph(tf.constant(1, tf.int64), tf.constant(epoch, tf.int64))
        assert found.dtype == tf.int32
        np.testing.assert_array_equal(found, eager(1, epoch))
