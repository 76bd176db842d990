"""The four things to train, and the examples that every contender reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LEARNING_RATE = 1e-3
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
CLASSES = 10
EVALUATION_BATCH = 512
PRODUCT = (
    256,
    1024,
)  # rows, and both sides of the square they are multiplied by: the machine's rate


@dataclass(frozen=True)
class Workload:
    """A model, its examples and its batch; ``+experiment=<experiment>`` trains it here.

    Attributes:
        shape: of one example as the model of a peer takes it.
        scale: from stored pixels to what the model takes.
        hidden: units of the dense layers before the logits.
        filters: of the convolutions, 3x3 with stride 2, before them.
        units: of the gated recurrent unit before them; 0: none.
    """

    name: str
    title: str
    batch: int
    shape: tuple[int, ...]
    scale: float
    hidden: tuple[int, ...] = ()
    filters: tuple[int, ...] = ()
    units: int = 0

    @property
    def experiment(self) -> str:
        return f"speed_{self.name}"

    @property
    def useful_operations(self) -> int:
        """Floating-point operations that one step of dense layers cannot do without.

        Multiplications and additions of the products, each a pass forward, one for the gradient of
        the kernel and one for that of the input; nobody needs the gradient of the first input.
        """
        sizes = [*self.shape, *self.hidden, CLASSES]
        products = [a * b for a, b in zip(sizes, sizes[1:], strict=False)]
        return 2 * self.batch * (3 * sum(products) - products[0])


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("mlp", "digits MLP, batch 64", 64, (64,), 1 / 16, hidden=(128, 128)),
        Workload(
            *("cnn", "convolution net 28x28, batch 128", 128, (28, 28, 1), 1 / 255),
            hidden=(128,),
            filters=(32, 64),
        ),
        Workload("gru", "GRU 64 on digits, batch 64", 64, (8, 8), 1 / 16, units=64),
        Workload("wide", "MLP 784-1024-1024-10, batch 256", 256, (784,), 1 / 255, (1024, 1024)),
    )
}


@dataclass(frozen=True)
class Examples:
    """One split: ``inputs [n, *shape]``, ``labels [n]`` int32."""

    inputs: np.ndarray
    labels: np.ndarray

    def scaled(self, workload: Workload) -> Examples:
        """The inputs as a model takes them, float32."""
        return Examples(self.inputs.astype(np.float32) * np.float32(workload.scale), self.labels)


def write(workload: Workload, folder: Path) -> None:
    """Keep what the project reads for ``workload``, for the peers to read."""
    from pipeline.data import source
    from pipeline.train import compose

    read = source.load(compose("train", [f"+experiment={workload.experiment}"]).dataset)
    arrays: dict[str, Any] = {}
    for role in ("train", "validation"):
        split = read.split(role)
        # Whole batches only, as the project trains on: nobody has a short one at the end.
        size = len(split) // workload.batch * workload.batch if role == "train" else len(split)
        arrays[f"{role}_inputs"] = split.inputs[:size].reshape(size, *workload.shape)
        arrays[f"{role}_labels"] = split.labels[:size].astype(np.int32)
    np.savez(folder / f"{workload.name}.npz", **arrays)


def read(workload: Workload, folder: Path) -> tuple[Examples, Examples]:
    """The training and the validation split that ``write`` kept, inputs as they are stored."""
    with np.load(folder / f"{workload.name}.npz") as arrays:
        train, validation = (
            Examples(arrays[f"{role}_inputs"], arrays[f"{role}_labels"])
            for role in ("train", "validation")
        )
    return train, validation
