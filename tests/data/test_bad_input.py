"""What does not fit is refused before anything is trained, in a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline import preflight_dataset
from pipeline.errors import UserError
from pipeline.train import compose, fit

NUMBERS = "count, image, nested/deep, price, track, vector"
SINGLE = "count, nested/deep, price"
EMPTY = ["~dataset.preprocess.scale"]


def step(name: str, **options: Any) -> list[str]:
    """Overrides that put one step in the place of the config's."""
    given = "".join(f", {key}: {value}" for key, value in options.items())
    target = f"{{_target_: pipeline.data.preprocess.{name}{given}}}"
    return [*EMPTY, f"+dataset.preprocess.own={target}"]


WORDS = ["dataset.inputs=text", *step("Tokens", vocabulary="words", length=4)]
TABLE = ["dataset.inputs=[price,size]"]
SHORT = [*WORDS, "dataset.buckets=[2]"]
ROWS = [*step("Reshape", shape="[8, 8]"), "dataset.buckets=[2]"]
FLAT = "{_target_: layers.Flatten}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_into: Callable[..., Path]) -> Path:
    """Where the dataset ``things`` is, with a feature of each kind."""
    features = {
        "image": tfds.features.Image(shape=(8, 8, 1)),
        "text": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
        "tags": tfds.features.Sequence(tfds.features.ClassLabel(num_classes=4)),
        "price": np.float32,
        "count": np.int64,
        "size": tfds.features.Text(),
        "vector": tfds.features.Tensor(shape=(4,), dtype=np.float32),
        "nested": {"deep": np.float32},
        "track": tfds.features.Sequence(np.int64),
    }
    sizes = ["small", "large", "medium"]

    def examples(count: int) -> list[dict[str, Any]]:
        return [
            {
                "image": np.full([8, 8, 1], i, np.uint8),
                "text": "a b c d"[: 1 + 2 * (i % 4)],
                "label": i % 3,
                "tags": [i % 2, 2],
                "price": i,
                "count": i % 5,
                "size": sizes[i % 3],
                "vector": np.ones(4, np.float32),
                "nested": {"deep": i},
                "track": np.arange(i % 3 + 1),
            }
            for i in range(count)
        ]

    odd = examples(4)
    odd[3] |= {"size": "huge", "text": "z"}
    splits = {"train": examples(16), "validation": odd, "test": examples(4)}
    return write_into(tmp_path_factory.mktemp("written"), "things", splits, "1.0.0", features)


CASES: dict[str, tuple[list[str], str]] = {
    # Features
    "input that is not there": (
        ["dataset.inputs=imgae"],
        "dataset.inputs=imgae: things/1.0.0 has no feature 'imgae'. Did you mean 'image'?",
    ),
    "one of several": (
        ["dataset.inputs=[price,cuont]"],
        "dataset.inputs=cuont: things/1.0.0 has no feature 'cuont'. Did you mean 'count'?",
    ),
    "nested": (
        ["dataset.inputs=nested/deap"],
        "dataset.inputs=nested/deap: things/1.0.0 has no feature 'deap' in 'nested'. Did you mean "
        "'deep'?",
    ),
    "not a name": (
        ["dataset.inputs=3"],
        "dataset.inputs: 3 is given; the name of a feature, or a list of names, is expected, such "
        "as dataset.inputs=image",
    ),
    "twice": (
        ["dataset.inputs=[price,price]"],
        "dataset.inputs: price, price: a feature is named twice; name each once",
    ),
    "target that is not there": (
        ["dataset.target=lable"],
        "dataset.target=lable: things/1.0.0 has no feature 'lable'. Did you mean 'label'?",
    ),
    "target among the inputs": (
        ["task=regression", "dataset.inputs=[price,count]", "dataset.target=price"],
        "dataset.target: 'price' is among dataset.inputs too; take it out of one",
    ),
    "no target": (
        ["dataset.target=null"],
        "dataset.target=null, but the task predicts a class label. It has label.",
    ),
    "weight that is no number": (
        ["dataset.weight=text"],
        "dataset.weight=text: this feature of things/1.0.0 is not one number an example. It has "
        f"{SINGLE}.",
    ),
    "weight that is a class": (
        ["dataset.weight=label"],
        "dataset.weight=label: this feature of things/1.0.0 is not one number an example. It has "
        f"{SINGLE}.",
    ),
    # Tasks
    "regression of a class": (
        ["task=regression"],
        "dataset.target=label: this feature of things/1.0.0 is ClassLabel, but numbers are needed. "
        f"It has {NUMBERS}. To predict 'label', use task=classification.",
    ),
    "regression of several classes": (
        ["task=regression", "dataset.target=tags"],
        "dataset.target=tags: this feature of things/1.0.0 is Sequence, but numbers are needed. "
        f"It has {NUMBERS}. To predict 'tags', use task=multi_label.",
    ),
    "classification of a number": (
        ["dataset.target=price"],
        "dataset.target=price: this feature of things/1.0.0 is Tensor, but a class label is needed."
        " It has label. To predict 'price', use task=regression.",
    ),
    "several classes of one": (
        ["task=multi_label"],
        "dataset.target=label: this feature of things/1.0.0 is ClassLabel, but a sequence of class "
        "labels is needed. It has tags. To predict 'label', use task=classification.",
    ),
    "classification of windows": (
        [
            *("dataset.inputs=price", "dataset.target=null", *EMPTY),
            "dataset.frame={_target_: pipeline.data.frame.Windows, length: 2}",
        ],
        "dataset.frame=Windows makes float32 of shape [2] to predict, but Classification predicts "
        "a class label. Use task=regression.",
    ),
    "next token of numbers": (
        ["task=language_model", "dataset.inputs=vector", *EMPTY],
        "dataset.inputs=vector: the next token is predicted, but the examples are no tokens but "
        "4 float32. Let dataset.preprocess make tokens of a text (_target_: "
        "pipeline.data.preprocess.Tokens), or use task=regression with a frame.",
    ),
    "classes of a model that gives back": (
        ["task=reconstruction"],
        "model.layers.logits.units=${dataset.outputs}, but Reconstruction does not say how many of "
        "these things has. It predicts the inputs again: use model=autoencoder, or give a number.",
    ),
    # Classes and vocabularies
    "classes": (
        ["dataset.classes=7"],
        "dataset.classes=7, but things/1.0.0 has 3 classes in 'label'. Set dataset.classes=3.",
    ),
    "outputs": (
        ["dataset.outputs=7"],
        "dataset.outputs=7, but things has 3. Set dataset.outputs=3, or null to take what the data "
        "says.",
    ),
    "vocabulary": (
        [*WORDS, "model=text_encoder", "dataset.vocabulary=3"],
        "dataset.vocabulary=3, but things has 6. Set dataset.vocabulary=6, or null to take what "
        "the data says.",
    ),
    "embedding": (
        [*WORDS, "model=text_encoder", "model.layer.layers.embed.vocabulary=5"],
        "model: layer/embed (Embedding) has vocabulary=5, but the tokens of things are 0 to 5. "
        "Write vocabulary: ${dataset.vocabulary}, or 6.",
    ),
    "embedding of stored tokens": (
        [
            *("dataset.inputs=track", "model=text_encoder", "dataset.vocabulary=2"),
            *step("Pad", length=3),
        ],
        "model: layer/embed (Embedding) has vocabulary=2, but the tokens of things are 0 to 2. "
        "Write vocabulary: ${dataset.vocabulary}, or 3.",
    ),
    "no tokens": (
        ["model=text_encoder"],
        "model.layer.layers.embed.vocabulary=${dataset.vocabulary}, but the examples of things are "
        "no tokens (8x8x1 uint8). Let dataset.preprocess make tokens of a text (_target_: "
        "pipeline.data.preprocess.Tokens), use another model, or set dataset.vocabulary where what "
        "is stored are tokens.",
    ),
    "value of a category": (
        [*TABLE, *step("Columns", numbers="[price]", categories="[size]", unknown="error")],
        "dataset.preprocess.own: 'size' holds 'huge', which is not among the training split's 3 "
        "values: 'large', 'medium', 'small'. List every value under "
        "dataset.preprocess.own.categories.size, or set dataset.preprocess.own.unknown=zeros to "
        "give it none.",
    ),
    # Steps and models
    "text to scale": (
        ["dataset.inputs=text"],
        "dataset.inputs=text: this feature of things/1.0.0 is text, and a model takes numbers. Add "
        "a step to dataset.preprocess that makes tokens of it (_target_: "
        "pipeline.data.preprocess.Tokens), or name another feature.",
    ),
    "text to resize": (
        ["dataset.inputs=text", *step("Resize", height=4, width=4)],
        "dataset.preprocess.own: Resize takes numbers, but its input is text ([None] string). Put "
        "pipeline.data.preprocess.Tokens before it, or name another feature as dataset.inputs.",
    ),
    "tokens to an image model": (
        [*WORDS, "model=cnn"],
        "the model does not fit the data, whose examples are [4] int32: conv1 (Conv2D): expects "
        "[batch, height, width, channels] (rank 4), got [None, 4] int32",
    ),
    "several inputs to a model of one": (
        ["dataset.inputs=[price,count]", *EMPTY],
        "the model cannot take several inputs, and dataset.inputs is a list, which gives 'price', "
        "'count'. Make one tensor of them (pipeline.data.preprocess.Columns), name one feature "
        "without a list, or give a model that takes a dict. (AttributeError: 'dict' object has no "
        "attribute 'shape')",
    ),
    "several inputs to a step of one": (
        ["dataset.inputs=[price,count]"],
        "dataset.preprocess.scale: Scale takes one tensor, but dataset.inputs is a list, which "
        "gives 'price', 'count'. Name one feature without a list, or put Columns before it.",
    ),
    "image to tokens": (
        step("Tokens", vocabulary="words", length=4),
        "dataset.preprocess.own: Tokens takes text, but its input is [16, 8, 8, 1] uint8. Leave "
        "Tokens out, or name a text feature as dataset.inputs.",
    ),
    "shape": (
        step("Reshape", shape="[5, 5]"),
        "dataset.preprocess.own: an example of 64 values [8, 8, 1] does not fit into the shape "
        "[5, 5]. Give a shape whose product is 64.",
    ),
    "channels": (
        step("Standardize", mean="[1, 2]", std="[1, 2]"),
        "dataset.preprocess.own: Standardize has 2 channels, but its input is [None, 8, 8, 1] "
        "uint8. Give one mean and one std a channel, or none.",
    ),
    "frame that is none": (
        ["dataset.frame={length: 3}"],
        "dataset.frame: a mapping without _target_ names nothing; write dataset.frame=null for "
        "none",
    ),
    # Batches
    "contiguous rows": (
        ["dataset.order=contiguous", "trainer.batch_size=32"],
        "split 'train' has 16 examples, fewer than one batch: trainer.batch_size=32. Make the "
        "batch at most 16.",
    ),
    "state of other rows": (
        [
            *("model=gru", "dataset.order=contiguous", "trainer.batch_size=8"),
            "model.layers.recurrent._target_=layers.Stateful",
            "+model.layers.recurrent.batch=4",
        ],
        "model: recurrent (Stateful) carries the state of batch=4 rows, but trainer.batch_size=8; "
        "write batch: ${trainer.batch_size}",
    ),
    # Buckets
    "buckets that do not ascend": (
        ["dataset.buckets=[4,2,4]"],
        "dataset.buckets: [4, 2, 4] does not ascend; write [2, 4]",
    ),
    "bucket of nothing": (
        ["dataset.buckets=[0,2]"],
        "dataset.buckets: [0, 2] has a length below 1; lengths of sequences are expected, such as "
        "[32, 64]",
    ),
    "buckets in an order": (
        [*SHORT, "dataset.order=contiguous"],
        "dataset.order: contiguous, where each row goes on from batch to batch, but "
        "dataset.buckets puts examples together by length; use dataset.order=shuffled, or no "
        "buckets",
    ),
    "buckets from disk": (
        [*SHORT, "dataset.feed=stream"],
        "dataset.feed: stream, but dataset.buckets looks at the length of every example before "
        "training; use dataset.feed=resident, or no buckets",
    ),
    "buckets of what is too large": (
        [*SHORT, "dataset.memory=1e-6"],
        "dataset.buckets looks at the length of every example before training, but split 'train' "
        "is streamed: it takes 0.00 MiB, more than the 1e-06 of dataset.memory. Use "
        "dataset.feed=resident, a larger dataset.memory, or no buckets.",
    ),
    "bucket beyond the sequences": (
        [*WORDS, "dataset.buckets=[2,8]"],
        "dataset.buckets: 8 is longer than the sequences, which have 4 steps, padding included. "
        "Give lengths below 4; what is longer is not cut.",
    ),
    "buckets for which all are too long": (
        [*SHORT, "dataset.splits.train='train[3:4]'"],
        "dataset.buckets=[2]: no example of training is so short; the shortest has 4 of 4 steps. "
        "Give longer buckets, or none.",
    ),
    "buckets of images": (
        ["dataset.buckets=[2]"],
        "dataset.buckets cuts sequences, which are whole numbers [length] or vectors [length, "
        "features], but an example of things is 8x8x1 uint8. Use no buckets.",
    ),
    "buckets of rows of numbers": (
        [*EMPTY, "dataset.inputs=vector", "dataset.buckets=[2]"],
        "dataset.buckets cuts sequences, which are whole numbers [length] or vectors [length, "
        "features], but an example of things is 4 float32. Use no buckets.",
    ),
    "buckets of several inputs": (
        [*EMPTY, "dataset.inputs=[price,count]", "dataset.buckets=[2]"],
        "dataset.buckets cuts one array of sequences, and dataset.inputs=['price', 'count'] gives "
        "several. Name one feature, without a list, or use no buckets.",
    ),
    "buckets of text to write": (
        [*SHORT, "dataset.target=null", "task=language_model"],
        "dataset.buckets cuts the inputs alone, and dataset.frame=NextToken predicts something at "
        "each of their steps. Use no buckets.",
    ),
    "buckets of what is reconstructed": (
        [*ROWS, "dataset.target=null", "task=reconstruction", "model.layers.logits.units=8"],
        "dataset.buckets cuts the inputs alone, and the task predicts something at each of their "
        "steps. Use no buckets.",
    ),
    "buckets of steps that are gone": (
        [*ROWS, f"+dataset.preprocess.flat={FLAT}"],
        "dataset.buckets cuts sequences of 8 steps, but dataset.preprocess makes [64] of "
        "them on the device. Use no buckets.",
    ),
    "buckets for a model of one length": (
        [*SHORT, "model=mlp"],
        "dataset.buckets: the model takes sequences of 4 steps but not of 2: hidden (Dense): was "
        "built for a last axis of 4, got [None, 2] int32. Use a model that takes any length, or "
        "no buckets.",
    ),
    "buckets for a model that answers each step": (
        [
            *("dataset.inputs=text", *step("Tokens", vocabulary="words", length=3)),
            *("dataset.buckets=[2]", "~model.layers.hidden", "~model.layers.logits"),
        ],
        "dataset.buckets: the model gives [None, 3] for 3 steps but [None, 2] for 2, and what is "
        "predicted is one thing an example. Let a layer take all steps together (GlobalAvgPool1D, "
        "for one), or use no buckets.",
    ),
    # Nothing there
    "no network": (
        ["dataset=kmnist"],
        "kmnist/3.0.1 is not prepared: {folder}/kmnist/3.0.1 does not hold it.\nPrepare it once "
        "(this downloads it): python -m pipeline.prepare dataset=kmnist dataset.data_dir={folder}",
    ),
}


SLOW = {  # the model is built
    "embedding",
    "embedding of stored tokens",
    "buckets for a model of one length",
    "buckets for a model that answers each step",
}


def refusal(folder: Path, overrides: list[str]) -> str:
    own = [f"dataset.data_dir={folder}", "tracking=off", "trainer.batch_size=4"]
    things = ["dataset=tfds", "dataset.name=things"]
    splits = {"train": "train", "validation": "validation", "test": "test"}
    if "dataset=kmnist" not in overrides:
        own += [*things, *(f"dataset.splits.{role}={name}" for role, name in splits.items())]
    with pytest.raises(UserError) as caught:
        fit(compose("train", [*own, *overrides]))
    return str(caught.value)


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES],
)
def test_refusal(case: str, folder: Path, no_network: list[Any]) -> None:
    overrides, text = CASES[case]
    assert refusal(folder, overrides).startswith(text.replace("{folder}", str(folder)))
    assert not no_network


def test_buckets_of_several_sets_are_refused() -> None:
    given = {"dataset.buckets": [2], "dataset.mix": {"more": {"name": "mnist", "share": 0.5}}}
    assert list(preflight_dataset.problems(given)) == [
        "dataset.mix: each batch has its share of every set, but dataset.buckets makes batches by "
        "length; leave one of the two out"
    ]
    assert list(preflight_dataset.problems(given | {"dataset.buckets": []})) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", ["value of a category", "embedding", "tokens to an image model"])
def test_streamed_data_is_refused_alike(case: str, folder: Path) -> None:
    overrides, text = CASES[case]
    assert refusal(folder, [*overrides, "dataset.feed=stream"]) == text


def test_key_that_is_new_in_a_mapping_is_added_with_a_plus() -> None:
    scale = "{_target_: pipeline.data.preprocess.Scale, factor: 2}"
    with pytest.raises(UserError) as caught:
        compose("train", [f"dataset.preprocess={{twice: {scale}}}"])
    said = str(caught.value)
    assert said.startswith("dataset.preprocess.twice: there is no such key. Did you mean 'dataset.")
    assert said.endswith("? A new one is added with a plus: +dataset.preprocess.twice=…")


def test_step_that_fails_is_named(folder: Path) -> None:
    own = "+dataset.preprocess.own={_target_: hydra.utils.get_method, path: math.sqrt}"
    said = refusal(folder, [own, "trusted_packages=[hydra]"])
    assert said.startswith("dataset.preprocess.own: it cannot take [None, 8, 8, 1] float32: ")
