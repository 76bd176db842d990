"""Many examples decoded at once are what TFDS decodes one after another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.data.decoder import Decoder, each
from pipeline.data.records import Records
from pipeline.errors import DataError

F = tfds.features
RANDOM = np.random.default_rng(0)


def _image(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


# Feature, and how a value of it is made.
EVEN: dict[str, tuple[Any, Any]] = {
    "bytes": (F.Tensor(shape=(3, 2), dtype=np.uint8), lambda i: _image(3, 2)),
    "single": (
        F.Tensor(shape=(2,), dtype=np.float32),
        lambda i: RANDOM.normal(size=2).astype("f4"),
    ),
    "double": (F.Scalar(np.float64), lambda i: float(i)),
    "integer": (F.Scalar(np.int64), lambda i: -i),
    "flag": (F.Scalar(np.bool_), lambda i: i % 2 == 0),
    "label": (F.ClassLabel(num_classes=4), lambda i: i % 4),
    "text": (F.Text(), lambda i: "é" * i + "\0"),
    "png": (F.Image(shape=(4, 4, 1)), lambda i: _image(4, 4, 1)),
    "jpeg": (F.Image(shape=(8, 8, 3), encoding_format="jpeg"), lambda i: _image(8, 8, 3)),
    "height": (
        F.Image(shape=(2, 2, 1), dtype=np.float32),
        lambda i: RANDOM.normal(size=[2, 2, 1]).astype("f4"),
    ),
    "packed": (
        F.Tensor(shape=(3,), dtype=np.int16, encoding="zlib"),
        lambda i: np.arange(i, i + 3, dtype=np.int16),
    ),
    "box": (F.BBoxFeature(), lambda i: F.BBox(0.1, 0.2, 0.3, 0.4 + i / 100)),
    "steps": (F.Sequence(np.int64, length=3), lambda i: [i, i + 1, i + 2]),
    "frames": (F.Sequence(F.Image(shape=(2, 2, 3)), length=2), lambda i: [_image(2, 2, 3)] * 2),
}
UNEVEN: dict[str, tuple[Any, Any]] = {
    "words": (F.Sequence(F.Text()), lambda i: ["word"] * i),
    "tokens": (F.Tensor(shape=(None, 2), dtype=np.int32), lambda i: np.full([i, 2], i, np.int32)),
    "photo": (F.Image(), lambda i: _image(1 + i, 2, 3)),
    "film": (F.Sequence(F.Image(shape=(2, 2, 3))), lambda i: [_image(2, 2, 3)] * i),
    "grid": (
        F.Tensor(shape=(None, None), dtype=np.float32, encoding="bytes"),
        lambda i: np.full([i, 2], i, np.float32),
    ),
}
NESTED = {
    "inner/deep/number": (np.int64, lambda i: 10 * i),
    "inner/deep/image": (F.Image(shape=(2, 2, 1)), lambda i: _image(2, 2, 1)),
    "inner/other": (np.float32, lambda i: i / 2),
}
COUNT = 20  # more than one turn decodes, and no multiple of it


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    flat = EVEN | UNEVEN
    deep = F.FeaturesDict({k.rpartition("/")[2]: NESTED[k][0] for k in NESTED if "deep" in k})
    features = {name: feature for name, (feature, _) in flat.items()} | {
        "inner": F.FeaturesDict({"deep": deep, "other": np.float32}),
        "pair": F.Translation(["de", "en"]),
        "things": F.Sequence({"name": F.Text(), "size": np.float32}, length=2),
        "lists": F.Sequence(F.Sequence(np.int64)),
    }

    def example(i: int) -> dict[str, Any]:
        made = {name: make(i) for name, (_, make) in flat.items()}
        values = {path: make(i) for path, (_, make) in NESTED.items()}
        made["inner"] = {
            "deep": {"number": values["inner/deep/number"], "image": values["inner/deep/image"]},
            "other": values["inner/other"],
        }
        made["pair"] = {"de": f"{i} Ja", "en": f"{i} Yes"}
        made["things"] = [{"name": "a", "size": i}, {"name": "b", "size": -i}]
        return made | {"lists": [[i], [i, i]]}

    folder = tmp_path_factory.mktemp("zoo")
    tfds.dataset_builders.store_as_tfds_dataset(
        name="zoo",
        version="1.0.0",
        features=F.FeaturesDict(features),
        split_datasets={"train": [(i, example(i)) for i in range(COUNT)]},
        data_dir=folder,
    )
    return tfds.builder_from_directory(folder / "zoo" / "1.0.0")


@pytest.fixture(scope="module")
def by_tfds(builder: Any) -> list[Any]:
    return list(builder.as_dataset(split="train").as_numpy_iterator())


@pytest.fixture(scope="module")
def serialized(builder: Any) -> np.ndarray:
    return Records(builder, "train").serialized(np.arange(COUNT))


def _at(example: Any, path: str) -> Any:
    for name in path.split("/"):
        example = example[name]
    return example


PLAIN = ["bytes", "single", "double", "integer", "flag", "label", "text", "box", "steps"]


def _check(builder: Any, by_tfds: list[Any], serialized: np.ndarray, paths: list[str]) -> None:
    decode = Decoder(builder, paths)
    decoded = decode(serialized)
    assert decode.even
    assert list(decoded) == list(decode.spec) == paths
    for path in paths:
        values = [_at(example, path) for example in by_tfds]
        expected = np.array(values, object if decode.spec[path].dtype == tf.string else None)
        np.testing.assert_array_equal(decoded[path], expected)
        assert decoded[path].dtype == expected.dtype
        assert decode.spec[path].shape.as_list() == list(expected.shape[1:])
        assert decode.spec[path].dtype.as_numpy_dtype == expected.dtype


@pytest.mark.parametrize("paths", [PLAIN, ["png", "label"], ["inner/deep/image"]], ids="+".join)
def test_batch_is_what_tfds_decodes_stacked(
    builder: Any, by_tfds: list[Any], serialized: np.ndarray, paths: list[str]
) -> None:
    _check(builder, by_tfds, serialized, paths)


@pytest.mark.slow
@pytest.mark.parametrize(
    "paths",
    [[*EVEN, *NESTED], ["pair/de", "things/size", "things/name", "png"]],
    ids=["parsed in batches", "parsed one by one"],
)
def test_batch_of_any_features_is_what_tfds_decodes_stacked(
    builder: Any, by_tfds: list[Any], serialized: np.ndarray, paths: list[str]
) -> None:
    _check(builder, by_tfds, serialized, paths)


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[] if p == "tokens" else pytest.mark.slow) for p in UNEVEN]
)
def test_uneven_example_is_decoded_alone_and_never_padded(
    builder: Any, by_tfds: list[Any], serialized: np.ndarray, path: str
) -> None:
    decode = Decoder(builder, [path, "label"])
    assert not decode.even
    for i, example in enumerate(by_tfds):
        np.testing.assert_array_equal(decode(serialized[i : i + 1])[path][0], example[path])
    alike = decode(serialized[[3, 3, 3]])
    np.testing.assert_array_equal(alike[path], np.stack([by_tfds[3][path]] * 3))
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(serialized[:3])


def test_example_in_a_graph_is_that_of_tfds(
    builder: Any, by_tfds: list[Any], serialized: np.ndarray
) -> None:
    decode = Decoder(builder, ["photo", "inner/other"])
    dataset = tf.data.Dataset.from_tensor_slices(serialized.astype(object)).map(decode.example)
    for got, example in zip(dataset.as_numpy_iterator(), by_tfds, strict=True):
        np.testing.assert_array_equal(got["photo"], example["photo"])
        assert got["inner/other"] == example["inner"]["other"]


@pytest.mark.parametrize(
    ("paths", "loops"),
    [([*PLAIN, "inner/other"], 0), (["png", "label"], 1)],
)
def test_only_what_is_packed_is_decoded_one_by_one(
    builder: Any, paths: list[str], loops: int
) -> None:
    batch = tf.function(Decoder(builder, paths).batch, autograph=False)
    graph = batch.get_concrete_function(tf.TensorSpec([None], tf.string)).graph
    assert sum(node.type in ("While", "StatelessWhile") for node in graph.get_operations()) == loops


def test_empty_batch_has_the_shape_of_no_examples(builder: Any) -> None:
    decoded = Decoder(builder, ["png", "single"])(np.array([], object))
    assert decoded["png"].shape == (0, 4, 4, 1)
    assert decoded["single"].shape == (0, 2)


def _alone(features: Any, example: Any, *paths: str) -> dict[str, np.ndarray]:
    """One example through a decoder of these features, without a dataset on disk."""
    builder: Any = SimpleNamespace(info=SimpleNamespace(features=features, full_name="alone/1.0.0"))
    return Decoder(builder, paths)(np.array([features.serialize_example(example)], object))


def test_feature_named_with_a_slash_is_found() -> None:
    features = F.FeaturesDict({"a/b": np.int64, "a": F.FeaturesDict({"c": np.int64})})
    decoded = _alone(features, {"a/b": 1, "a": {"c": 2}}, "a/b", "a/c")
    assert (decoded["a/b"], decoded["a/c"]) == ([1], [2])


def test_feature_that_decodes_in_a_way_of_its_own_does_so() -> None:
    class Doubled(F.Tensor):
        def decode_example(self, tfexample_data: Any) -> Any:
            return 2 * super().decode_example(tfexample_data)

    features = F.FeaturesDict({"x": Doubled(shape=(2,), dtype=np.int64)})
    decoded = _alone(features, {"x": np.array([3, 4])}, "x")
    assert decoded["x"].tolist() == [[6, 8]]


def test_feature_that_is_not_there_is_refused_with_the_nearest(builder: Any) -> None:
    with pytest.raises(DataError) as caught:
        Decoder(builder, ["label", "inner/othr"])
    assert str(caught.value) == (
        "zoo/1.0.0 has no feature 'inner/othr'. Did you mean 'inner/other'?"
    )


def test_sequence_of_sequences_is_refused(builder: Any) -> None:
    with pytest.raises(DataError, match="'lists' of zoo/1.0.0 is a sequence of sequences"):
        Decoder(builder, ["lists"])


@pytest.mark.parametrize("rows", [0, 1, 16, 37])
def test_each_is_map_fn(rows: int) -> None:
    x = tf.reshape(tf.range(rows * 3), [rows, 3])

    def function(row: tf.Tensor) -> Any:
        return {"sum": tf.reduce_sum(row), "twice": tf.stack([row, row])}

    spec = {"sum": tf.TensorSpec([], tf.int32), "twice": tf.TensorSpec([2, 3], tf.int32)}
    got = tf.function(lambda x: each(function, x, spec), autograph=False)(x)
    np.testing.assert_array_equal(got["sum"], tf.reduce_sum(x, 1))
    np.testing.assert_array_equal(got["twice"], tf.stack([x, x], 1))
