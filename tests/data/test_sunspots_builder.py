"""The sunspot numbers, a year an example, in the order of time."""

from __future__ import annotations

import numpy as np
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data import catalogue

CONFIG = Dataset(name="sunspots")


def test_years_follow_each_other_through_the_splits() -> None:
    catalogue.prepare(CONFIG)
    builder = catalogue.open_builder(CONFIG)
    splits = {name: tfds.as_numpy(builder.as_dataset(name, batch_size=-1)) for name in SIZES}
    assert {name: len(split["year"]) for name, split in splits.items()} == SIZES
    years = np.concatenate([split["year"] for split in splits.values()])
    assert years.tolist() == list(range(1700, 2009))
    values = np.concatenate([split["value"] for split in splits.values()])
    assert values.dtype == np.float32
    known = {1700: 5.0, 1778: 154.4, 1810: 0.0, 1913: 1.4, 1957: 190.2, 2008: 2.9}
    assert {year: round(float(values[year - 1700]), 1) for year in known} == known
    assert int(np.round(values * 10).sum()) == 153734


def test_metadata_says_what_it_is_and_on_what_terms() -> None:
    info = catalogue.open_builder(CONFIG).info
    assert info.redistribution_info.license.startswith("public domain")
    assert "NOAA" in info.citation


SIZES = {"train": 221, "validation": 35, "test": 53}
