"""Official datasets with made-up content, written by TFDS under their own name, where no package
ships the data.

Names, versions, configs and features are the official builder's, so that everything that reads a
dataset reads these. The content is what ``tfds.testing.mock_data`` makes of the features.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_datasets.testing.mocking import RandomFakeGenerator

from pipeline.config import Dataset
from pipeline.data import catalogue

CHARACTERS = 40  # of a text; mock_data's have 10 to 20


class _Examples(RandomFakeGenerator):
    """Texts are words of the first letters, ``characters`` long."""

    def __init__(self, features: Any, count: int, *, seed: int, characters: int) -> None:
        super().__init__(features, count, seed=seed)
        self.characters = characters

    def _generate_random_string_array(self, shape: Any, rng: np.random.Generator) -> Any:
        if shape:
            return super()._generate_random_string_array(shape, rng)
        return "".join(rng.choice(list("  abcdefghij"), size=self.characters))


def prepare(
    name: str, folder: Path, splits: Mapping[str, int], characters: int = CHARACTERS
) -> Path:
    """Write ``splits`` (examples by split) of the dataset ``name``; returns where.

    Args:
        name: as in ``dataset.name``, with a config where it has any.
        folder: as in ``dataset.data_dir``.
        characters: of each text.
    """
    builder = catalogue.open_builder(Dataset(name=name, data_dir=str(folder)))
    made = {
        split: enumerate(_Examples(builder.info.features, count, seed=seed, characters=characters))
        for seed, (split, count) in enumerate(splits.items())
    }
    builder._split_generators = lambda dl_manager: made
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        builder.download_and_prepare()
    return Path(builder.data_dir)
