"""What a prepared TFDS dataset holds, checked against what the config says of it.

Names, versions and preparing are ``catalogue.py``'s, features are ``features.py``'s, reading is
``splits.py``'s, what is made of the examples is ``prepared.py``'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipeline.config import Dataset
from pipeline.data.catalogue import (
    is_prepared,
    needs_no_download,
    not_prepared,
    open_builder,
    prepare,
)
from pipeline.data.faults import check
from pipeline.data.features import Target, inputs_of, target_of, weight_of
from pipeline.data.selection import ROLES, Selection, divides, select, sizes
from pipeline.data.splits import Split, read
from pipeline.data.stored import AnyStored, LeftOut, Stored
from pipeline.errors import DataError

__all__ = ["ROLES", "Source", "load"]


@dataclass
class Source:
    """What a prepared dataset holds, and its splits on request.

    Attributes:
        folder: where this version lies on disk.
        inputs: the spec of one example's inputs, or of each by name; sizes that TFDS leaves open
            are None.
        sizes: examples by role (train, validation, test).
    """

    name: str
    version: str
    folder: Path
    inputs: tf.TensorSpec | dict[str, tf.TensorSpec]
    target: Target
    description: str
    citation: str
    homepage: str
    license: str
    sizes: dict[str, int]
    config: Dataset = field(repr=False)
    builder: tfds.core.DatasetBuilder = field(repr=False)
    weight: str | None = None
    _read: dict[str, Split] = field(default_factory=dict, init=False, repr=False)
    _selected: dict[str, Selection] = field(default_factory=dict, init=False, repr=False)
    _stored: dict[str, Stored] = field(default_factory=dict, init=False, repr=False)

    @property
    def full_name(self) -> str:
        """With config and version, as TFDS writes it."""
        return str(self.builder.info.full_name)

    @property
    def classes(self) -> int:
        """How many there are; 0 where the target is none."""
        return (self.target.size or 0) if self.target.kind in ("class", "classes") else 0

    @property
    def class_names(self) -> list[str]:
        """Of the classes, or of the numbers that are predicted where these have names."""
        return list(self.target.names)

    def told(self) -> str:
        """The inputs in words: ``8x8x1 uint8``."""
        specs = self.inputs if isinstance(self.inputs, dict) else {"": self.inputs}
        words = [f"{name} {_told(spec)}".strip() for name, spec in specs.items()]
        return ", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")

    def sets(self, role: str) -> dict[str, Source]:
        """Where the examples of a split come from, each by its name in ``dataset.mix``."""
        return {"": self}

    def named(self, role: str) -> str:
        """The split that the config gives ``role``, for people."""
        return self.selection(role).name

    def is_streamed(self, role: str) -> bool:
        """Whether the split stays on disk: as ``dataset.feed`` says, and ``auto`` by its size."""
        role = "train" if divides(self.config, role) else role  # two parts of the same files
        if self.config.feed != "auto":
            return bool(self.config.feed == "stream")
        return self.megabytes(role) > self.config.memory

    def megabytes(self, role: str) -> float:
        """MiB of the stored inputs; of text, and where sizes are open, as many as on disk."""
        specs = self.inputs.values() if isinstance(self.inputs, dict) else [self.inputs]
        if all(s.shape.is_fully_defined() and s.dtype != tf.string for s in specs):
            each = sum(s.shape.num_elements() * s.dtype.size for s in specs)
            return self.sizes[role] * each / 2**20
        splits = self.builder.info.splits
        stored = sum(split.num_bytes for split in splits.values())
        examples = sum(split.num_examples for split in splits.values())
        return float(stored / max(1, examples) * self.sizes[role] / 2**20)

    def split(self, role: str) -> Split:
        """Read the split that the config gives ``role`` (train, validation or test).

        Raises:
            DataError: damaged files, labels outside the classes, or numbers that are NaN or
                infinite; with ``dataset.on_error=skip`` these are left out.
        """
        if role not in self._read:
            chosen = self.selection(role)
            try:
                split = read(self.builder, chosen.expression, self.config, self.target, self.weight)
                check(split, self.config, self.target)
                if chosen.members is not None:
                    split = split.at(chosen.members, chosen.name)
            except DataError:
                if self.config.on_error != "skip":
                    raise
                stored = self.stored(role)
                split = stored.usable(np.arange(len(stored)))[1]
                if not len(split):
                    raise DataError(
                        f"Not one example of split {chosen.name!r} can be used."
                    ) from None
                check(split, self.config, self.target)
            self._read[role] = split
        return self._read[role]

    def stored(self, role: str) -> AnyStored:
        """The examples of a split by number, as they lie on disk."""
        if role not in self._stored:
            self._stored[role] = Stored(
                self.builder, self.selection(role), self.config, self.target, self.weight
            )
        return self._stored[role]

    def selection(self, role: str) -> Selection:
        """Which examples are the role's."""
        if role not in self._selected:
            self._selected[role] = select(self.builder, self.config, self.target, role)
        return self._selected[role]

    @property
    def left_out(self) -> dict[str, LeftOut]:
        """What could not be used so far, by role, where ``dataset.on_error`` is ``skip``."""
        found = {role: stored.left_out for role, stored in self._stored.items()}
        return {role: left_out for role, left_out in found.items() if left_out.count}

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of the splits read so far, by role."""
        lines = (f"{role}:{split.digest}\n" for role, split in sorted(self._read.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load(config: Dataset, needs: str = "class") -> Source:
    """Open a prepared dataset and check it against ``config``; reads no example yet.

    A builder that needs no download is prepared here, at its first use.

    Args:
        needs: the kind of target, see ``Task.needs``.

    Raises:
        DataError: not prepared, or it does not hold what ``config`` says.
    """
    builder = open_builder(config)
    if not is_prepared(builder):
        if not needs_no_download(builder):
            raise not_prepared(builder, config)
        prepare(config)
        builder = open_builder(config)

    info = builder.info
    return Source(
        name=builder.name,
        version=str(builder.version),
        folder=Path(builder.data_dir),
        inputs=inputs_of(builder, config),
        target=target_of(builder, config, needs),
        description=info.description or "",
        citation=info.citation or "",
        homepage=info.homepage or "",
        license=info.redistribution_info.license or "",
        sizes=sizes(builder, config),
        config=config,
        builder=builder,
        weight=weight_of(builder, config),
    )


def _told(spec: tf.TensorSpec) -> str:
    shape = "x".join("?" if size is None else str(size) for size in spec.shape.as_list())
    return f"{shape} {spec.dtype.name}".strip()
