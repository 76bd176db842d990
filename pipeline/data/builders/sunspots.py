"""TFDS builder over the yearly sunspot numbers in the file beside it: no download."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

FIRST_YEARS = {"train": 1700, "validation": 1921, "test": 1956}
LAST_YEAR = 2008

_DESCRIPTION = """
The mean number of sunspots in each year from 1700 to 2008, which rises and falls in cycles of about
11 years: the international (Wolf) sunspot numbers as they were before their revision of 2015. The
splits are in the order of time, with the years between them that forecasts of this series have
used since Weigend, Huberman and Rumelhart (1990): train 1700-1920 (221 years), validation 1921-1955
(35), test from 1956 on (53).
"""

_CITATION = """
@misc{sidc2008sunspots,
  author = {{SIDC, Royal Observatory of Belgium} and {NOAA National Geophysical Data Center}},
  title = {Yearly Mean Sunspot Numbers, 1700--2008},
  year = {2008},
  howpublished = {\\url{http://www.ngdc.noaa.gov/stp/solar/solarda3.html}}
}
"""


class Sunspots(tfds.core.GeneratorBasedBuilder):
    """``year`` int32 and ``value`` float32, one example a year, in order."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    NEEDS_NO_DOWNLOAD: ClassVar[bool] = True

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"year": np.int32, "value": np.float32}),
            supervised_keys=None,
            homepage="https://www.sidc.be/SILSO/",
            citation=_CITATION,
            license="public domain; the values are those that statsmodels packages",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        firsts = [*FIRST_YEARS.values(), LAST_YEAR + 1]
        return {
            split: self._generate_examples(first, end)
            for split, first, end in zip(FIRST_YEARS, firsts, firsts[1:], strict=False)
        }

    def _generate_examples(self, first: int, end: int) -> Iterator[tuple[int, dict[str, Any]]]:
        with Path(__file__).with_name("sunspots.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                year = int(row["year"])
                if first <= year < end:
                    yield year, {"year": year, "value": float(row["value"])}
