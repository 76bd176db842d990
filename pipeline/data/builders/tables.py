"""TFDS builders over the tables inside the scikit-learn package: no download.

Each column is a feature of its own, in its own units, so that configs can name it. What is
packaged has no splits: train, validation and test are ours, fixed and stratified.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipeline.data.hold_out import parts_in_proportion

_UCI_LICENSE = "CC BY 4.0 (UCI Machine Learning Repository); packaged by scikit-learn, BSD-3-Clause"
_STRATA = 10  # of a number to predict: the tenths of it


class Table(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A float32 scalar for each column, and the target; keys are scikit-learn's row numbers.

    A subclass says what to load and what is known of it, columns and classes too: opening a
    dataset that is prepared then does without scikit-learn, which takes long to import.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    NEEDS_NO_DOWNLOAD: ClassVar[bool] = True

    LOADER: ClassVar[str]  # a function of sklearn.datasets
    OPTIONS: ClassVar[dict[str, Any]] = {}  # its arguments
    COLUMNS: ClassVar[tuple[str, ...]]  # scikit-learn's, with _ for what cannot be part of a name
    TARGET: ClassVar[str]
    CLASSES: ClassVar[tuple[str, ...]] = ()  # none: the target is a number
    VALIDATION: ClassVar[int]  # rows
    TEST: ClassVar[int]
    METADATA: ClassVar[dict[str, str]]

    def _info(self) -> tfds.core.DatasetInfo:
        classes = list(self.CLASSES)
        target = tfds.features.ClassLabel(names=classes) if classes else np.float32
        columns = dict.fromkeys(self.COLUMNS, np.float32)
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({**columns, self.TARGET: target}),
            supervised_keys=({name: name for name in columns}, self.TARGET),
            **self.METADATA,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        import sklearn.datasets

        table = getattr(sklearn.datasets, self.LOADER)(**self.OPTIONS)
        strata = table.target if self.CLASSES else _by_rank(table.target, _STRATA)
        test, validation, train = parts_in_proportion(strata, [self.TEST, self.VALIDATION])
        splits = {"train": train, "validation": validation, "test": test}
        return {
            split: self._generate_examples(table.data, table.target, rows)
            for split, rows in splits.items()
        }

    def _generate_examples(
        self, data: np.ndarray, target: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        names = [*self.COLUMNS, self.TARGET]
        for row in rows.tolist():
            values = [*data[row].tolist(), target[row].item()]
            yield row, dict(zip(names, values, strict=True))


def _by_rank(values: np.ndarray, strata: int) -> np.ndarray:
    """The stratum of each of ``values`` ``[n]``: the smallest are in 0, all are of one size."""
    ranks = np.empty(len(values), int)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks * strata // len(values)


_OF_A_NUCLEUS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)


class BreastCancer(Table):
    """30 measurements of cell nuclei and ``label``: 0 malignant, 1 benign; 569 rows."""

    LOADER = "load_breast_cancer"
    COLUMNS = tuple(
        form.format(name) for form in ("mean_{}", "{}_error", "worst_{}") for name in _OF_A_NUCLEUS
    )
    TARGET = "label"
    CLASSES = ("malignant", "benign")
    VALIDATION = 85
    TEST = 114
    METADATA: ClassVar[dict[str, str]] = {
        "description": """
569 breast masses, of which 212 are malignant: 30 measurements of the cell nuclei in a picture of a
fine needle aspirate. Each of ten properties (radius in pixels, texture, ...) is there as the mean
over the nuclei, as its standard error, and as the "worst", the mean of the three largest. It is
UCI's "Breast Cancer Wisconsin (Diagnostic)", as packaged by scikit-learn. The splits train (370),
validation (85) and test (114) are ours: fixed, disjoint, the classes in the same proportions.
""",
        "homepage": "https://archive.ics.uci.edu/dataset/17",
        "citation": """
@misc{wolberg1993breast,
  author = {Wolberg, William and Mangasarian, Olvi and Street, Nick and Street, W.},
  title = {Breast Cancer Wisconsin (Diagnostic)},
  year = {1993},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C5DW2B}
}
""",
        "license": _UCI_LICENSE,
    }


class Wine(Table):
    """13 chemical measurements and ``label``, the cultivar 0 to 2; 178 rows."""

    LOADER = "load_wine"
    COLUMNS = (
        "alcohol",
        "malic_acid",
        "ash",
        "alcalinity_of_ash",
        "magnesium",
        "total_phenols",
        "flavanoids",
        "nonflavanoid_phenols",
        "proanthocyanins",
        "color_intensity",
        "hue",
        "od280_od315_of_diluted_wines",
        "proline",
    )
    TARGET = "label"
    CLASSES = ("class_0", "class_1", "class_2")
    VALIDATION = 27
    TEST = 36
    METADATA: ClassVar[dict[str, str]] = {
        "description": """
178 wines from one region of Italy: 13 results of a chemical analysis, and from which of three
cultivars they are. It is UCI's "Wine", as packaged by scikit-learn (TFDS's ``wine_quality`` is
another set). The splits train (115), validation (27) and test (36) are ours: fixed, disjoint, the
classes in the same proportions.
""",
        "homepage": "https://archive.ics.uci.edu/dataset/109",
        "citation": """
@misc{aeberhard1992wine,
  author = {Aeberhard, Stefan and Forina, M.},
  title = {Wine},
  year = {1992},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C5PC7J}
}
""",
        "license": _UCI_LICENSE,
    }


class Diabetes(Table):
    """Ten baseline measurements and ``progression``, 25 to 346, a year later; 442 rows."""

    LOADER = "load_diabetes"
    OPTIONS: ClassVar[dict[str, Any]] = {"scaled": False}  # else in units of no measurement
    COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    TARGET = "progression"
    VALIDATION = 66
    TEST = 88
    METADATA: ClassVar[dict[str, str]] = {
        "description": """
442 diabetes patients: age in years, sex (1 or 2), body mass index, mean blood pressure and six
blood serum measurements, s1 to s6, and how far the disease had progressed one year later. The
values are those that were measured, as packaged by scikit-learn. The splits train (288),
validation (66) and test (88) are ours: fixed, disjoint, with the tenths of the target in the same
proportions.
""",
        "homepage": "https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html",
        "citation": """
@article{efron2004least,
  author = {Efron, Bradley and Hastie, Trevor and Johnstone, Iain and Tibshirani, Robert},
  title = {Least Angle Regression},
  journal = {Annals of Statistics},
  volume = {32},
  number = {2},
  pages = {407--499},
  year = {2004},
  doi = {10.1214/009053604000000067}
}
""",
        "license": "its source names no terms; packaged by scikit-learn, BSD-3-Clause",
    }
