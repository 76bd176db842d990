"""A dataset with a feature of each kind, and what is said of a config that does not fit it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipeline.errors import UserError
from pipeline.train import compose, fit

EMPTY = ["~dataset.preprocess.scale"]


def step(name: str, **options: Any) -> list[str]:
    """Overrides that put one step in the place of the config's."""
    given = "".join(f", {key}: {value}" for key, value in options.items())
    target = f"{{_target_: pipeline.data.preprocess.{name}{given}}}"
    return [*EMPTY, f"+dataset.preprocess.own={target}"]


WORDS = ["dataset.inputs=text", *step("Tokens", vocabulary="words", length=4)]


def write_things(folder: Path, write: Callable[..., Path]) -> Path:
    """With conftest's ``write``, into ``folder``, which is returned: 16 examples to train on."""
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
    return write(folder, "things", splits, "1.0.0", features)


def refusal(folder: Path, overrides: list[str]) -> str:
    """What ``pipeline.train`` answers to them; of ``things``, where they name no other dataset."""
    own = [f"dataset.data_dir={folder}", "tracking=off", "trainer.batch_size=4"]
    things = ["dataset=tfds", "dataset.name=things"]
    splits = {"train": "train", "validation": "validation", "test": "test"}
    if "dataset=kmnist" not in overrides:
        own += [*things, *(f"dataset.splits.{role}={name}" for role, name in splits.items())]
    with pytest.raises(UserError) as caught:
        fit(compose("train", [*own, *overrides]))
    return str(caught.value)
