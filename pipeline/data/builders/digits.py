"""TFDS builder over the handwritten digits inside the scikit-learn package: no download."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipeline.data.hold_out import parts_in_proportion

TEST_IMAGES = 360
VALIDATION_IMAGES = 270

_DESCRIPTION = """
1,797 handwritten digits of 8x8 pixels, each pixel a count of inked points from 0 to 16, written by
13 people. It is the test half of UCI's "Optical Recognition of Handwritten Digits", as packaged by
scikit-learn. The splits train (1,167), validation (270) and test (360) are ours: fixed, disjoint,
and with the classes in the same proportions in each.
"""

_CITATION = """
@misc{alpaydin1998optical,
  author = {Alpaydin, Ethem and Kaynak, Cenk},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}
"""

_LICENSE = "CC BY 4.0 (UCI Machine Learning Repository); packaged by scikit-learn, BSD-3-Clause"


class Digits(tfds.core.GeneratorBasedBuilder):
    """``image`` [8, 8, 1] uint8 in 0..16 and ``label`` in 0..9; keys are scikit-learn's indices."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    # Prepared at first use, without being asked to: nothing is fetched and it takes a second.
    NEEDS_NO_DOWNLOAD: ClassVar[bool] = True

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            license=_LICENSE,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = digits.images.astype(np.uint8)[..., np.newaxis]
        return {
            split: self._generate_examples(images, digits.target, indices)
            for split, indices in stratified_splits(digits.target).items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in indices.tolist():
            yield index, {"image": images[index], "label": int(labels[index])}


def stratified_splits(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Indices of each split: every index once, every class in proportion, the same every time."""
    test, validation, train = parts_in_proportion(labels, [TEST_IMAGES, VALIDATION_IMAGES])
    return {"train": train, "validation": validation, "test": test}
