"""What does not fit is refused before anything is trained, in a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from things import EMPTY, WORDS, refusal, step

from pipeline.errors import UserError
from pipeline.train import compose

NUMBERS = "count, image, nested/deep, price, track, vector"
SINGLE = "count, nested/deep, price"


TABLE = ["dataset.inputs=[price,size]"]

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
    # Nothing there
    "no network": (
        ["dataset=kmnist"],
        "kmnist/3.0.1 is not prepared: {folder}/kmnist/3.0.1 does not hold it.\nPrepare it once "
        "(this downloads it): python -m pipeline.prepare dataset=kmnist dataset.data_dir={folder}",
    ),
}


SLOW = {"embedding", "embedding of stored tokens"}  # the model is built


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES],
)
def test_refusal(case: str, things: Path, no_network: list[Any]) -> None:
    overrides, text = CASES[case]
    assert refusal(things, overrides).startswith(text.replace("{folder}", str(things)))
    assert not no_network


@pytest.mark.slow
@pytest.mark.parametrize("case", ["value of a category", "embedding", "tokens to an image model"])
def test_streamed_data_is_refused_alike(case: str, things: Path) -> None:
    overrides, text = CASES[case]
    assert refusal(things, [*overrides, "dataset.feed=stream"]) == text


def test_key_that_is_new_in_a_mapping_is_added_with_a_plus() -> None:
    scale = "{_target_: pipeline.data.preprocess.Scale, factor: 2}"
    with pytest.raises(UserError) as caught:
        compose("train", [f"dataset.preprocess={{twice: {scale}}}"])
    said = str(caught.value)
    assert said.startswith("dataset.preprocess.twice: there is no such key. Did you mean 'dataset.")
    assert said.endswith("? A new one is added with a plus: +dataset.preprocess.twice=…")


def test_step_that_fails_is_named(things: Path) -> None:
    own = "+dataset.preprocess.own={_target_: hydra.utils.get_method, path: math.sqrt}"
    said = refusal(things, [own, "trusted_packages=[hydra]"])
    assert said.startswith("dataset.preprocess.own: it cannot take [None, 8, 8, 1] float32: ")
