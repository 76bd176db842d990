"""Every dataset of conf/dataset/ is composed, read, and trained on for three steps, offline.

What no package ships is the official dataset with made-up content. A new file is tested by itself:
as classification by a small dense net, unless ``RUNS`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up
import pytest

from pipeline import prepare
from pipeline.composing import conf_dir
from pipeline.data import catalogue

OPTIONS = sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml"))
EXAMPLES = {"train": 60, "test": 20}
ONE_TEXT = {"train": 1, "validation": 1, "test": 1}
CHARACTERS = 3000  # of the one text

THREE_STEPS = (
    "tracking=off",
    "trainer.duration=3 steps",
    "trainer.evaluate_every=3 steps",
    "trainer.checkpoint_every=3 steps",
    "trainer.batch_size=4",
)
MLP = ("model=mlp", "model.layers.hidden.units=4")
CNN = ("model=cnn", "model.layers.conv1.filters=2", "model.layers.conv2.filters=2")
GRU = ("model=gru", "model.layers.recurrent.cell.units=4")
ENCODER = (
    "model=text_encoder",
    "model.layer.layers.embed.units=4",
    "model.layer.layers.blocks.times=1",
    "model.layer.layers.blocks.layer.heads=1",
    "model.layer.layers.blocks.layer.units=4",
)
LANGUAGE = (
    "task=language_model",
    "model=language_model",
    "model.layers.embed.units=4",
    "model.layers.blocks.times=1",
    "model.layers.blocks.layer.heads=1",
    "model.layers.blocks.layer.units=4",
)
RUNS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("digits", "mnist", "fashion_mnist", "kmnist", "emnist"), CNN),
    **dict.fromkeys(("cifar10", "cifar100", "svhn_cropped"), CNN),
    "digits_sequence": (*GRU, "~model.layers.rows"),
    **dict.fromkeys(("imdb_reviews", "ag_news_subset"), ENCODER),
    **dict.fromkeys(("tiny_shakespeare", "python_reference"), LANGUAGE),
    "text_file": (
        *LANGUAGE,
        "dataset.options.package=sklearn",
        "dataset.options.files=[datasets/descr/wine_data.rst]",
    ),
    **dict.fromkeys(("diabetes", "diamonds"), (*MLP, "task=regression")),
    "sunspots": (
        *GRU,
        "task=regression",
        "~model.layers.rows",
        "+model.layers.recurrent.return_sequences=true",
    ),
    "synthetic": (*CNN, "dataset.options.examples=64"),
    "tfds": (*CNN, "dataset.name=cmaterdb"),
}
# Like another one that is tested with the rest; these are compiled as well.
ALIKE = {
    *("kmnist", "emnist", "mnist", "fashion_mnist", "cifar100", "svhn_cropped", "wine", "iris"),
    *(
        "ag_news_subset",
        "text_file",
        "synthetic",
        "penguins",
        "diabetes",
        "breast_cancer",
        "digits",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where datasets with made-up content are."""
    return tmp_path_factory.mktemp("made_up")


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if name in ALIKE else pytest.mark.slow)
        for name in OPTIONS
    ],
)
def test_three_steps(option: str, fit: Callable[..., Any], folder: Path) -> None:
    run = RUNS.get(option, MLP)
    own = [word for word in run if word.startswith("dataset.")]
    dataset = prepare.configured([f"dataset={option}", *own])
    place = []
    if not catalogue.needs_no_download(catalogue.open_builder(dataset)):
        place = [f"dataset.data_dir={folder}"]
        if option == "tiny_shakespeare":
            made_up.prepare(dataset.name, folder, ONE_TEXT, characters=CHARACTERS)
        else:
            made_up.prepare(dataset.name, folder, EXAMPLES)
    quick = [] if option in ALIKE else ["trainer.compile=off"]
    result = fit(f"dataset={option}", *run, *place, *THREE_STEPS, *quick)
    assert (result.status, result.reason) == ("FINISHED", "finished")
    assert {"val/loss", "test/loss"} <= set(result.metrics)
    assert result.objective is not None
