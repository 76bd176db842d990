"""Parts of a dataset are disjoint, exhaustive, in proportion, and the same every time."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipeline.data.hold_out import hold_out, in_proportion, parts_in_proportion
from pipeline.errors import DataError

LABELS = np.random.RandomState(0).choice(4, 1003, p=[0.6, 0.3, 0.09, 0.01])


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.0001, 0.9999])
def test_parts_are_disjoint_and_exhaustive(stratify: bool, share: float) -> None:
    train, validation = hold_out(LABELS, share, stratify)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(1003))
    assert len(validation) == min(max(round(1003 * share), 1), 1002)
    for part in (train, validation):
        assert (np.diff(part) > 0).all()
    if stratify:
        counts = np.bincount(LABELS[validation], minlength=4)
        assert np.abs(counts - np.bincount(LABELS) * len(validation) / 1003).max() < 1
    again = hold_out(LABELS, share, stratify)
    np.testing.assert_array_equal(again[1], validation)


def test_chance_and_not_the_order_of_the_examples_chooses() -> None:
    sorted_labels = np.sort(LABELS)
    _, by_chance = hold_out(sorted_labels, 0.1, stratify=False)
    assert 400 < by_chance.mean() < 600
    _, other = hold_out(sorted_labels, 0.1, stratify=False, seed=1)
    assert len(np.intersect1d(by_chance, other)) < 30


def test_the_choice_never_changes() -> None:
    chosen = [hold_out(LABELS, 0.2, stratify)[1] for stratify in (False, True)]
    digest = hashlib.sha256(np.concatenate(chosen).astype("<i4").tobytes()).hexdigest()
    assert digest == "8a2d6a89a0aa2959ee2ee21db0bff6a2dae86362802572a9d743a6d1d0321954"


def test_largest_remainders() -> None:
    np.testing.assert_array_equal(in_proportion(np.array([5, 3, 2]), 4), [2, 1, 1])
    parts = parts_in_proportion(np.array([7, -1, 7, 7, -1, 7]), [3, 2])
    assert [len(part) for part in parts] == [3, 2, 1]


def test_nothing_to_hold_out() -> None:
    for share in (0.0, 1.0, -0.5, float("nan")):
        with pytest.raises(DataError, match="cannot be held out; above 0 and below 1 is expected"):
            hold_out(LABELS, share, True)
    with pytest.raises(DataError, match="1 example cannot be divided; two at least are needed"):
        hold_out(LABELS[:1], 0.5, True)
