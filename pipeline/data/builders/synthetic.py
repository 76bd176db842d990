"""TFDS builder of images that are made up: any shape, number of classes and number of examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipeline.data.builders.unlisted import Unlisted

NOISE = 64.0  # standard deviation, of pixels in 0..255
SPLITS = {"train": 1.0, "validation": 0.125, "test": 0.125}  # times ``examples``

_DESCRIPTION = """
Each class has an image of its own, drawn at random; an example is its class's image under noise.
For measuring speed and memory, and for tests; nothing can be learnt from it about the world.
"""


class Synthetic(Unlisted):
    """``image`` uint8 of ``shape`` and ``label``, the classes in turn.

    Args:
        shape: of one image, ``[height, width, channels]`` or any other.
        classes: how many.
        examples: in ``train``; ``validation`` and ``test`` have an eighth as many each.
        seed: another one is another dataset.
    """

    VERSION = tfds.core.Version("1.0.0")
    NEEDS_NO_DOWNLOAD: ClassVar[bool] = True

    def __init__(
        self,
        *,
        shape: Sequence[int] = (28, 28, 1),
        classes: int = 10,
        examples: int = 8000,
        seed: int = 0,
        **options: Any,
    ) -> None:
        _check(shape, classes, examples, seed)
        self.shape = tuple(shape)
        self.classes = classes
        self.examples = examples
        self.seed = seed
        name = f"{'x'.join(map(str, shape))}-classes{classes}-examples{examples}-seed{seed}"
        super().__init__(called=name, **options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=self.shape, dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=self.classes),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {
            split: self._generate_examples(number, max(1, int(self.examples * part)))
            for number, (split, part) in enumerate(SPLITS.items())
        }

    def _generate_examples(self, split: int, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        # RandomState is frozen by NumPy's compatibility policy; default_rng's stream may change.
        own = np.random.RandomState(self.seed).randint(0, 256, (self.classes, *self.shape))
        noise = np.random.RandomState([self.seed, split])
        for index in range(count):
            label = index % self.classes
            image = own[label] + NOISE * noise.standard_normal(self.shape)
            yield index, {"image": np.clip(image, 0, 255).astype(np.uint8), "label": label}


def _check(shape: Sequence[int], classes: int, examples: int, seed: int) -> None:
    given = {"shape": list(shape), "classes": [classes], "examples": [examples]}
    for name, numbers in given.items():
        if not numbers or not all(isinstance(n, int) and n > 0 for n in numbers):
            value = numbers if name == "shape" else numbers[0]
            raise ValueError(f"synthetic: {name}={value}; expected whole numbers above 0")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"synthetic: seed={seed}; expected a whole number, 0 to {2**32 - 1}")
