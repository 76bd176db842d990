"""What a split holds, against NumPy on the whole of it."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from pipeline.analysis import dataset_summary
from pipeline.analysis.dataset_summary import (
    ClassShare,
    Lengths,
    class_balance,
    lengths,
    statistics,
    summary,
)

RANDOM = np.random.default_rng(0)


def test_each_class_is_counted_even_where_it_has_no_examples() -> None:
    found = class_balance(np.array([2, 0, 2, 2]), ["cat", "dog", "owl"])
    assert found == [
        ClassShare("cat", 1, 0.25),
        ClassShare("dog", 0, 0.0),
        ClassShare("owl", 3, 0.75),
    ]


def test_labels_that_are_no_class_have_their_number_for_a_name() -> None:
    found = class_balance(np.array([0, -1, 7]), ["cat"])
    assert [(row.name, row.count) for row in found] == [("cat", 1), ("-1", 1), ("7", 1)]
    assert class_balance(np.array([], np.int64), ["cat"]) == [ClassShare("cat", 0, 0.0)]


def test_several_labels_an_example_are_shares_of_the_examples() -> None:
    labels = np.array([[1, 1], [0, 1], [0, 1], [0, 0]], np.uint8)
    found = class_balance(labels, ["red", "blue"])
    assert found == [ClassShare("red", 1, 0.25), ClassShare("blue", 3, 0.75)]


@pytest.mark.parametrize("part", [1, 12, 1 << 22])
@pytest.mark.parametrize(
    ("values", "rows"),
    [
        (RANDOM.normal(1e6, 1.0, [50]), ["x"]),
        (RANDOM.integers(0, 255, [50, 4, 5, 3], np.uint8), ["x[0]", "x[1]", "x[2]"]),
        (RANDOM.integers(0, 255, [50, 4, 5, 1], np.uint8), ["x"]),
        (RANDOM.random([50, 2]) > 0.3, ["x[0]", "x[1]"]),
        (RANDOM.standard_normal([50, 100], np.float32), ["x"]),
    ],
    ids=["scalar far from 0", "colour images", "grey images", "booleans", "wide"],
)
def test_statistics_are_numpys_however_many_are_looked_at_together(
    values: np.ndarray, rows: list[str], part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_summary, "PART", part)
    found = statistics("x", values)
    assert [row.name for row in found] == rows
    table = values.reshape(-1, len(rows)).astype(np.float64)
    expected = [table.min(0), table.mean(0), table.std(0), table.max(0), np.zeros(len(rows))]
    np.testing.assert_allclose([astuple(row)[1:] for row in found], np.transpose(expected))


def test_what_is_no_number_is_counted_and_left_out() -> None:
    values = np.array([[1.0, np.nan], [np.nan, np.inf], [3.0, -np.inf]])
    one, two = statistics("x", values)
    assert (one.minimum, one.mean, one.deviation, one.maximum, one.missing) == (1, 2, 1, 3, 1)
    assert two.missing == 3
    assert np.isnan([two.minimum, two.mean, two.deviation, two.maximum]).all()
    (none,) = statistics("x", np.zeros([0]))
    assert np.isnan(none.mean)
    assert none.missing == 0


def test_tokens_end_where_only_padding_follows() -> None:
    tokens = np.array([[5, 0, 7, 0, 0], [0, 0, 0, 0, 0], [5, 5, 5, 5, 9], [2, 0, 0, 0, 0]])
    found = lengths("text", tokens.astype(np.int32))
    assert found == Lengths("text", "tokens", 0, 2.0, 9 / 4, 5, vocabulary=4)


@pytest.mark.parametrize("kind", ["bytes", "str", "fixed"])
def test_strings_are_as_long_as_their_bytes(kind: str) -> None:
    texts = ["abc", "", "\u00e4b"]  # three bytes as well
    given = {
        "bytes": np.array([text.encode() for text in texts], object),
        "str": np.array(texts, object),
        "fixed": np.array(texts),
    }[kind]
    found = lengths("text", given)
    assert found == Lengths("text", "bytes", 0, 3.0, 2.0, 3, vocabulary=5)


def test_arrays_of_several_lengths_are_as_long_as_their_steps() -> None:
    found = lengths("x", [np.zeros([2, 3]), np.zeros([5, 3])])
    assert found == Lengths("x", "steps", 2, 3.5, 3.5, 5, None)
    assert lengths("x", []) == Lengths("x", "steps", 0, 0.0, 0.0, 0, None)


def test_a_split_is_summed_up_in_tables_of_texts() -> None:
    features = {
        "age": np.array([20.0, 40.0, np.nan]),
        "text": np.array([b"ab", b"abcd", b""], object),
        "tokens": np.array([[1, 2], [3, 0], [0, 0]]),
        "signed": np.array([[-1, 2], [3, 0], [1, 1]]),  # no tokens are below 0
    }
    found = summary("train", features, np.array([0, 1, 1]), ["cat", "dog"])
    assert found.name == "train"
    assert found.examples == 3
    assert [row.name for row in found.statistics] == ["age", "signed[0]", "signed[1]"]
    tables = {table.title: table for table in found.tables()}
    assert tables["train: classes"].rows == [("cat", "1", "33.3%"), ("dog", "2", "66.7%")]
    assert tables["train: statistics"].rows[0] == ("age", "20", "30", "10", "40", "1")
    assert tables["train: lengths"].rows == [
        ("text", "bytes", "0", "2", "2", "4", "4"),
        ("tokens", "tokens", "0", "1", "1", "2", "3"),
    ]
    assert all(len(row) == len(table.columns) for table in found.tables() for row in table.rows)


def test_what_a_split_does_not_have_has_no_table() -> None:
    found = summary("test", {"x": np.ones([5, 3, 3, 1], np.uint8)})
    assert [table.title for table in found.tables()] == ["test: statistics"]
    assert found.examples == 5
    assert summary("test", {}, np.array([1, 0]), ["a", "b"]).examples == 2
