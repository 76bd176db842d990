"""Several sets whose examples are trained on together: ``dataset.mix``.

The dataset's own training split and the sets that are mixed into it are one split, whose examples
are numbered through: own first, then each set's in the order of the config. In which order an epoch
visits them is ``mixing.py``'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import tensorflow as tf
from omegaconf import OmegaConf

from pipeline.config import Dataset, Mixed, Splits
from pipeline.data.mixing import counted
from pipeline.data.source import Source, load
from pipeline.data.splits import Split, joined
from pipeline.data.stored import AnyStored, JoinedStored, LeftOut
from pipeline.errors import DataError


def mixed(own: Source, needs: str = "class") -> MixedSource:
    """``own`` with the sets that its config mixes in; each is opened, and checked against it.

    Args:
        needs: the kind of target, see ``Task.needs``.

    Raises:
        DataError: one is not there or not prepared, or its examples are of another kind.
    """
    further = {}
    for name in mix_of(own.config):
        with told_of(name):
            further[name] = load(as_dataset(own.config, name), needs)
            _check_alike(own, further[name])
    given = {f.name: getattr(own, f.name) for f in fields(Source) if f.init}
    total = sum(one.sizes["train"] for one in (own, *further.values()))
    given["sizes"] = own.sizes | {"train": total}
    return MixedSource(**given, own=own, further=further)


def mix_of(config: Dataset) -> dict[str, Any]:
    """The sets of ``dataset.mix``, by name; what is not said of one has its default."""
    found = {}
    for name, part in config.mix.items():
        plain = OmegaConf.to_container(part, resolve=True) if OmegaConf.is_config(part) else part
        found[str(name)] = OmegaConf.merge(OmegaConf.structured(Mixed), plain)
    return found


def as_dataset(config: Dataset, name: str) -> Dataset:
    """A set of the mix as a dataset of its own; each of its splits is the one that is mixed in."""
    part = mix_of(config)[name]
    return Dataset(
        name=part.name,
        data_dir=part.data_dir or config.data_dir,
        module=part.module,
        options=dict(part.options),
        inputs=config.inputs,
        target=config.target,
        weight=config.weight,
        splits=Splits(train=part.split, validation=part.split, test=part.split),
        frame=config.frame,
        feed=config.feed,
        memory=config.memory,
        on_error=config.on_error,
    )


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Errors inside are of a set of the mix: they name its keys."""
    try:
        yield
    except DataError as error:
        at = f"dataset.mix.{name}"
        lines = [
            line if "python -m" in line else _own_keys(line, at) for line in str(error).splitlines()
        ]
        lead = "" if lines[0].startswith(at) else f"{at}: "
        raise DataError(lead + "\n".join(lines)) from error


def _own_keys(line: str, at: str) -> str:
    line = line.replace("dataset.splits.train", f"{at}.split")
    return re.sub(r"\bdataset\.(name|data_dir|module|options)\b", rf"{at}.\1", line)


def _check_alike(own: Source, other: Source) -> None:
    """Raise ``DataError`` where the examples of two sets cannot be trained on as of one."""
    ours, theirs = own.target, other.target
    if ours.size != theirs.size:
        what = "classes" if own.classes else "numbers to predict"
        raise DataError(
            f"{other.full_name} has {theirs.size} {what} in {', '.join(theirs.paths)}, but "
            f"{own.full_name} has {ours.size}. Sets that are mixed have the same ones."
        )
    pairs = zip(ours.names, theirs.names, strict=True)
    changed = next(((i, a, b) for i, (a, b) in enumerate(pairs) if a != b), None)
    if changed:
        number, our_name, their_name = changed
        raise DataError(
            f"class {number} of {other.full_name} is {their_name!r}, but that of "
            f"{own.full_name} is {our_name!r}. Sets that are mixed have the same classes in the "
            "same order."
        )
    for feature, (our, their) in _pairs(own, other).items():
        if our.dtype != their.dtype:
            raise DataError(
                f"{feature!r} of {other.full_name} is {their.dtype.name}, but that of "
                f"{own.full_name} is {our.dtype.name}. One preprocessing serves all, so sets that "
                "are mixed are stored alike."
            )


def check_sizes(source: Source, example: Callable[[Source], Any]) -> None:
    """Raise ``DataError`` where preprocessing leaves examples of the sets in different sizes.

    Args:
        example: what the steps on the host make of a set's first example, as specs.
    """
    if not isinstance(source, MixedSource):
        return
    for name, other in source.further.items():
        if all(our.shape == their.shape for our, their in _pairs(source.own, other).values()):
            continue
        our, their = example(source.own), example(other)
        if our != their:
            raise DataError(
                f"dataset.mix.{name}: examples of {other.full_name} are {other.told()}, and those "
                f"of {source.full_name} are {source.told()}. A batch needs one size: add a step "
                "to dataset.preprocess that gives them one (pipeline.data.preprocess.Resize for "
                "images, Pad for sequences), or mix in another set."
            )


def _pairs(own: Source, other: Source) -> dict[str, tuple[tf.TensorSpec, tf.TensorSpec]]:
    """The specs of both, by feature."""
    if isinstance(own.inputs, Mapping) and isinstance(other.inputs, Mapping):
        return {name: (own.inputs[name], other.inputs[name]) for name in own.inputs}
    return {str(own.config.inputs): (own.inputs, other.inputs)}


@dataclass
class MixedSource(Source):
    """A dataset into whose training split others are mixed; its other splits are its own.

    Attributes:
        own: the dataset alone.
        further: what is mixed in, by name; what is trained on is the ``train`` of each.
    """

    own: Source = field(kw_only=True, repr=False)
    further: dict[str, Source] = field(kw_only=True)
    _numbered: dict[str, AnyStored] = field(default_factory=dict, init=False, repr=False)

    def sets(self, role: str) -> dict[str, Source]:
        return {"": self.own} | (self.further if role == "train" else {})

    def named(self, role: str) -> str:
        further = self.further if role == "train" else ()
        return " + ".join([self.own.named(role), *further])

    def megabytes(self, role: str) -> float:
        return sum(one.megabytes(role) for one in self.sets(role).values())

    def split(self, role: str) -> Split:
        if role not in self._read:
            splits = [one.split(role) for one in self.sets(role).values()]
            self._read[role] = joined(splits, self.named(role)) if splits[1:] else splits[0]
        return self._read[role]

    def stored(self, role: str) -> AnyStored:
        if role not in self._numbered:
            parts = [one.stored(role) for one in self.sets(role).values()]
            name = self.named(role)
            self._numbered[role] = JoinedStored(parts, name) if parts[1:] else parts[0]
        return self._numbered[role]

    @property
    def left_out(self) -> dict[str, LeftOut]:
        found = dict(self.own.left_out)
        for one in self.further.values():
            if "train" in one.left_out:
                found["train"] = found.get("train", LeftOut(0, [])) + one.left_out["train"]
        return found

    def in_epoch(self, sizes: Sequence[int]) -> list[int]:
        """How many examples of each set an epoch has: of the own ones all, of each further set so
        many that they are its share of the epoch.

        Args:
            sizes: examples that each set has.

        Raises:
            DataError: of a set there would be none.
        """
        mix = mix_of(self.config)
        counts = counted(sizes[0], [part.share for part in mix.values()])
        for (name, part), count in zip(mix.items(), counts, strict=True):
            if not count:
                raise DataError(
                    f"dataset.mix.{name}.share={part.share:g}: of an epoch with {sizes[0]:,} "
                    f"examples of {self.full_name} that is less than one of {part.name}. "
                    "Use a larger share."
                )
        return [sizes[0], *counts]
