"""Tables: scalar features as one row of numbers, learnt from the training split alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.preprocess import Columns, MultiHot, OneHot, Preprocessing, Standardize
from pipeline.errors import DataError

NAN = np.nan
TABLE = {
    "age": np.float32([20, NAN, 40, 60]),
    "fare": np.float64([1, 2, 3, 4]),
    "sex": np.array([b"male", b"female", b"female", b"male"], object),
    "pclass": np.int64([3, 1, 3, 1]),
    "alone": np.array([True, False, True, True]),
}
SPEC = {name: tf.TensorSpec([None], tf.as_dtype(x.dtype)) for name, x in TABLE.items()}
EVERY = {"numbers": ["age", "fare"], "categories": ["sex", "pclass", "alone"]}


def _rows(table: dict, *ends: int) -> Callable[[], Iterator[dict]]:
    cut = {name: np.split(x, list(ends)) for name, x in table.items()}
    return lambda: (dict(zip(cut, parts, strict=True)) for parts in zip(*cut.values(), strict=True))


def _fitted(table: dict = TABLE, **options: Any) -> Preprocessing:
    steps = Preprocessing({"table": Columns(**options)})
    steps.fit(_rows(table, 1, 3), {name: SPEC[name] for name in table})
    return steps


def test_a_table_becomes_rows_of_numbers() -> None:
    steps = _fitted(**EVERY)
    y = steps(TABLE)
    assert y.dtype == tf.float32
    np.testing.assert_array_equal(
        y,
        [
            # age, missing, fare, female, male, 1, 3, False, True
            [20, 0, 1, 0, 1, 0, 1, 0, 1],
            [40, 1, 2, 1, 0, 1, 0, 1, 0],
            [40, 0, 3, 1, 0, 0, 1, 0, 1],
            [60, 0, 4, 0, 1, 1, 0, 0, 1],
        ],
    )
    assert steps.describe()["table"] == {
        "step": "Columns",
        "columns": ["age", "age missing", "fare", "sex=female", "sex=male", "pclass=1", "pclass=3"]
        + ["alone=False", "alone=True"],
        "means": {"age": 40.0, "fare": 2.5},
        "values": {"sex": ["female", "male"], "pclass": [1, 3], "alone": [False, True]},
    }


def test_what_the_training_split_did_not_have() -> None:
    steps = _fitted(**EVERY)
    new = {name: x[:1].copy() for name, x in TABLE.items()}
    new["fare"][0], new["sex"][0], new["pclass"][0] = NAN, b"unknown", 2
    # The mean, without a column that says so: nothing could have been learnt about it.
    np.testing.assert_array_equal(steps(new), [[20, 0, 2.5, 0, 0, 0, 0, 0, 1]])


def test_a_value_may_stand_for_a_missing_number() -> None:
    steps = _fitted({"fare": TABLE["fare"]}, numbers=["fare"], missing={"fare": 4})
    np.testing.assert_array_equal(steps({"fare": TABLE["fare"]}), [[1, 0], [2, 0], [3, 0], [2, 1]])
    assert steps.describe()["table"]["columns"] == ["fare", "fare missing"]


def test_an_unknown_value_is_an_error_on_request() -> None:
    steps = _fitted(**EVERY, unknown="error")
    steps(TABLE)
    new = TABLE | {"sex": np.array([b"male", b"x", b"y", b"male"], object)}
    message = (
        "dataset.preprocess.table: 'sex' holds 'x', which is not among the training split's 2 "
        "values: 'female', 'male'. List every value under dataset.preprocess.table.categories.sex, "
        "or set dataset.preprocess.table.unknown=zeros to give it none."
    )
    with pytest.raises(DataError) as error:
        steps(new)
    assert str(error.value) == message
    with pytest.raises(tf.errors.InvalidArgumentError) as failed:  # as a served model says it
        tf.function(steps, autograph=False)(new)
    assert "holds a value (see the end), which is not among" in str(failed.value)
    assert "[x y]" in str(failed.value)


def test_given_values_have_their_order_and_need_no_data() -> None:
    steps = Preprocessing(
        {"table": Columns(categories={"sex": ["male", "x", "female"], "pclass": [3, 2]})}
    )

    def batches() -> Iterator[Any]:
        raise AssertionError("was read")

    table = {name: TABLE[name] for name in ("pclass", "sex")}
    spec = steps.fit(batches, {name: SPEC[name] for name in table})
    assert spec.shape.as_list() == [None, 5]
    np.testing.assert_array_equal(
        steps(table), [[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [1, 0, 0, 0, 0]]
    )
    mixed = _fitted({"sex": TABLE["sex"]}, categories={"sex": None})
    assert mixed.describe()["table"]["values"] == {"sex": ["female", "male"]}


def test_standardized_columns_in_an_exported_model(tmp_path: Path) -> None:
    class Served(tf.Module):
        def __init__(self, steps: Preprocessing) -> None:
            self.steps = steps

        @tf.function(input_signature=[SPEC], autograph=False)
        def __call__(self, x: dict[str, tf.Tensor]) -> tf.Tensor:
            return self.steps(x)

    steps = Preprocessing({"table": Columns(**EVERY), "unit": Standardize()})
    spec = steps.fit(_rows(TABLE, 2), SPEC)
    assert spec.shape.as_list() == [None, 9]
    y = steps(TABLE).numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(0), 1, atol=1e-5)
    tf.saved_model.save(Served(steps), str(tmp_path))
    again = tf.saved_model.load(str(tmp_path))
    tensors = {name: tf.constant(x, SPEC[name].dtype) for name, x in TABLE.items()}
    np.testing.assert_array_equal(again(tensors), y)


@pytest.mark.parametrize(
    ("options", "table", "problem"),
    [
        (
            {"numbers": ["agge"]},
            TABLE,
            "'agge' is not among dataset.inputs. Did you mean 'age'?",
        ),
        (
            {"numbers": ["age"]},
            {"age": TABLE["age"], "fare": TABLE["fare"]},
            "dataset.inputs has 'fare', which is neither in numbers nor in categories. Add it",
        ),
        ({"numbers": ["sex"]}, None, "'sex' is text, which is no number. Name it in categories."),
        (
            {"categories": ["age"]},
            None,
            "'age' is float32, which is no category. Name it in numbers.",
        ),
        (
            {"categories": {"pclass": ["1", "2"]}},
            None,
            ".categories.pclass: '1' is given, but the feature holds int64.",
        ),
        (
            {"categories": {"alone": [0, 1]}},
            None,
            ".categories.alone: 0 is given, but the feature holds bool.",
        ),
        ({"categories": {"sex": []}}, None, ".categories.sex: give each value once, at least one."),
        (
            {"numbers": ["age"]},
            {"age": np.float32([NAN, NAN])},
            "'age' has no number in the training split.",
        ),
        (
            {"categories": ["pclass"]},
            {"pclass": np.arange(2000)},
            "'pclass' has more than 1,000 values in the training split, too many for a category.",
        ),
    ],
)
def test_wrong_features_are_named(options: dict, table: dict | None, problem: str) -> None:
    names = [*options.get("numbers", []), *options.get("categories", [])]
    with pytest.raises(DataError) as error:
        _fitted(table or {name: TABLE[name] for name in names}, **options)
    assert str(error.value).replace(": .", ".").startswith("dataset.preprocess.table")
    assert problem in str(error.value)


def test_one_feature_is_no_table_and_a_list_is_no_scalar() -> None:
    steps = Preprocessing({"table": Columns(["age", "fare"])})
    with pytest.raises(DataError) as error:
        steps.fit(lambda: iter([]), tf.TensorSpec([None], tf.float32))
    assert str(error.value) == (
        "dataset.preprocess.table: Columns takes several features, but dataset.inputs is one "
        "([None] float32). Write it as a list: dataset.inputs=[age, fare]."
    )
    both = {"age": SPEC["age"], "fare": tf.TensorSpec([None, 4])}
    with pytest.raises(DataError, match=r"'fare' is no single value but \[None, 4\] float32"):
        steps.fit(lambda: iter([]), both)
    for options, problem in (
        ({}, "Columns needs names of features"),
        ({"numbers": ["age"], "categories": ["age"]}, "Columns names 'age' twice"),
        ({"numbers": ["age"], "missing": {"agge": 0}}, "missing has 'agge', no number. Did you"),
        ({"numbers": ["age"], "unknown": "zero"}, "unknown is 'zeros' or 'error', not 'zero'"),
    ):
        with pytest.raises(ValueError, match=problem):
            Columns(**options)


def test_classes_as_one_hot_and_multi_hot() -> None:
    np.testing.assert_array_equal(
        OneHot(3)(np.int64([[2, 0], [-1, 3]])), [[[0, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    )
    np.testing.assert_array_equal(OneHot(2)(np.int16([1])), [[0, 1]])
    y = MultiHot(4)(np.int64([[3, 1, 3], [0, -1, -1]]))
    assert y.dtype == tf.float32
    np.testing.assert_array_equal(y, [[0, 1, 0, 1], [1, 0, 0, 0]])
    np.testing.assert_array_equal(MultiHot(2)(np.zeros([1, 0], np.int64)), [[0, 0]])
    steps = Preprocessing({"classes": MultiHot(4)})
    spec = steps.fit(lambda: iter([]), tf.TensorSpec([None, None], tf.int64))
    assert spec.shape.as_list() == [None, 4]
    for step in (OneHot(2), MultiHot(2)):
        name = type(step).__name__
        with pytest.raises(DataError, match=rf"{name} takes whole numbers, but its input is \[1,"):
            step(np.float32([[1.0]]))
