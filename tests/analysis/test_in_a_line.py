"""Long things in a line of text."""

from __future__ import annotations

import pytest

from pipeline.analysis.in_a_line import cut, few, shortened


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"factor": 0.0625, "offset": 0.0}, "factor 0.0625, offset 0"),
        ({"lower": False, "length": None, "shape": [8, 8]}, "shape [8, 8]"),
        ({"mean": [1.23456] * 7}, "mean [1.235, 1.235, 1.235, 1.235, 1.235, … (7 in all)]"),
        ({"values": {"sex": ["f", "m"]}}, "values {sex ['f', 'm']}"),
        ({"means": dict.fromkeys("abcdefg", 1)}, "means {a 1, b 1, c 1, d 1, e 1, … (7 in all)}"),
        ([1, 2], "1, 2"),
        ({}, ""),
    ],
)
def test_what_was_learnt_in_a_line(value: object, told: str) -> None:
    assert shortened(value) == told


def test_names_and_texts_are_cut() -> None:
    assert few(["a", "b"]) == "a, b"
    assert few([str(i) for i in range(11)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (11 in all)"
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")
