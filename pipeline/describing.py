"""What can be said of a dataset as it is trained on, for ``pipeline.data``: texts and tables.

A split that is streamed is looked at in a sample, and what comes of it says so. Counting and
drawing are ``analysis``'s; nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.analysis.dataset_summary import (
    ClassShare,
    Lengths,
    SplitSummary,
    Statistics,
    Table,
    class_balance,
    lengths,
    statistics,
    summary,
)
from pipeline.data.duplicates import Digests, Repeats, digests, repeats
from pipeline.data.examples import BATCH, Examples
from pipeline.data.features import names_of
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Columns, Tokens
from pipeline.data.source import ROLES

SAMPLE = 1000  # examples that stand for a streamed split
BYTES = 256 << 20  # of preprocessed examples that are held to look at
CLASSES = 20  # that have a row each; of more, the most and the least frequent
FREQUENT = 10  # tokens that are named
FEW = 5  # of a list that is longer
WIDE = 110  # characters of what a step is


class Described:
    """What the splits of ``prepared`` hold."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.source = prepared.source
        self.config = prepared.source.config
        steps = prepared.preprocessing.host.steps.values()
        self.tokens = next((step for step in steps if isinstance(step, Tokens)), None)
        self._columns = next((step for step in steps if isinstance(step, Columns)), None)
        self._samples: dict[str, Examples] = {}

    def facts(self) -> dict[str, str]:
        """What it is, what goes in and what is predicted, how it is fed."""
        source, target = self.source, self.source.target
        licence = cut(" ".join(source.license.split()), 160) or "TFDS names none"
        names = "" if isinstance(source.inputs, dict) else f"{self.config.inputs} "
        frame = self.prepared.frame
        predicted = {
            "class": f"{self.config.target}: one of {source.classes} classes",
            "classes": f"{self.config.target}: any of {source.classes} classes",
            "numbers": f"{', '.join(target.paths)}: {target.size} number(s)",
            "tokens": "the inputs' next tokens",
            "inputs": "the inputs themselves",
        }[target.kind]
        if frame is not None:
            predicted = f"made of the inputs by {_told(frame)}"
        elif source.class_names and source.classes:
            predicted += f": {few(source.class_names)}"
        facts = {
            "dataset": f"{source.builder.info.full_name}; licence: {licence}",
            "inputs": f"{names}{source.told()}; a model takes {self._model_inputs()}",
            "target": predicted,
        }
        if source.weight:
            facts["weight"] = f"{source.weight} of each example"
        return facts | {"feed": self._feed()}

    def splits(self) -> Table:
        """How large each split is, and where it is held."""
        rows = []
        for role in ROLES:
            held = "stream" if self.prepared.is_streamed(role) else "resident"
            expression = str(getattr(self.config.splits, role))
            size = f"{self.source.megabytes(role):,.2f}"
            rows.append((role, expression, f"{self.source.sizes[role]:,}", size, held))
        return Table("splits", ("split", "of TFDS", "examples", "MiB", "feed"), rows)

    def steps(self) -> Table:
        """Each step of preprocessing with what it has learnt."""
        rows = []
        for name, told in self.prepared.preprocessing.describe().items():
            known = {key: value for key, value in told.items() if key != "step"}
            rows.append((name, told["step"], cut(shortened(known), WIDE)))
        return Table("preprocessing, in this order", ("step", "is", "with"), rows)

    # Classes -------------------------------------------------------------------------------------

    def balance(self) -> tuple[Table | None, list[str]]:
        """The classes of each split, and sentences about them; None where there are none."""
        if not self.source.classes or self.prepared.frame is not None:
            return None, []
        found = {role: class_balance(self._labels(role), self.source.class_names) for role in ROLES}
        order = range(len(found["train"]))
        said = [sentence for role in ROLES for sentence in self._lacks(role, found[role])]
        if len(order) > CLASSES:
            by_count = sorted(order, key=lambda i: -found["train"][i].count)
            order = [*by_count[: CLASSES // 2], *by_count[-CLASSES // 2 :]]
            said.append(
                f"the {CLASSES // 2} most and the {CLASSES // 2} least frequent of "
                f"{len(by_count)} classes"
            )
        rows = []
        for i in order:
            shares = [found[role][i] for role in ROLES if i < len(found[role])]
            counts = [(f"{share.count:,}", f"{100 * share.share:.1f}") for share in shares]
            rows.append((found["train"][i].name, *(cell for pair in counts for cell in pair)))
        if self.source.target.kind == "class":
            most = max(found["train"], key=lambda share: share.count)
            test = next(share for share in found["test"] if share.name == most.name)
            said.append(
                f"always to say {most.name!r} would be right in {test.share:.1%} of the test split"
            )
        columns = ("class", *(word for role in ROLES for word in (role, "%")))
        return Table(f"classes{self._of(*ROLES)}", columns, rows), said

    def _lacks(self, role: str, balance: Sequence[ClassShare]) -> Iterator[str]:
        lacking = [repr(share.name) for share in balance if not share.count]
        if lacking and not self.prepared.is_streamed(role):
            yield f"warning: {role} has no example of {few(lacking)}"

    # Numbers and lengths -------------------------------------------------------------------------

    def numbers(self, role: str) -> list[Table]:
        """The features of a split, as they are stored and as the model takes them."""
        stored, target = self.stored(role), self.source.target
        named = stored if isinstance(stored, Mapping) else {str(self.config.inputs): stored}
        first = summary(f"{role} as stored", named)
        if target.kind == "numbers" and self.prepared.frame is None:
            found = statistics(", ".join(target.paths), self._targets(role))
            if len(found) == len(target.names):
                found = [replace(r, name=n) for r, n in zip(found, target.names, strict=True)]
            first = replace(first, statistics=[*first.statistics, *found])
        taken = self.taken(role)
        named = taken if isinstance(taken, Mapping) else {"inputs": taken}
        second = summary(f"{role} as the model takes it", named)
        second = replace(second, statistics=self._with_names(second.statistics))
        of = self._of(role)
        return [t._replace(title=f"{t.title}{of}") for s in (first, second) for t in s.tables()]

    def _with_names(self, rows: Sequence[Statistics]) -> Sequence[Statistics]:
        """The columns that ``Columns`` has made, by their names."""
        names = self._columns.describe()["columns"] if self._columns else []
        if len(names) != len(rows):
            return rows
        return [replace(row, name=name) for row, name in zip(rows, names, strict=True)]

    # Tokens --------------------------------------------------------------------------------------

    def vocabulary(self) -> tuple[Table | None, list[str]]:
        """What of each split the vocabulary knows, and its most frequent tokens."""
        if self.tokens is None or isinstance(self.taken("train"), Mapping):
            return None, []
        rows, pieces = [], self.tokens.vocabulary.pieces
        for role in ROLES:
            ids = self.taken(role)
            counts = np.bincount(ids.reshape(-1), minlength=len(pieces))
            counts[0] = 0  # padding
            whole = max(1, int(counts.sum()))
            unknown = counts[1] / whole if self.tokens.vocabulary.learns else 0.0
            full = (ids[:, -1] != 0).mean() if ids.ndim == 2 and self.tokens.length else None
            cells = [f"{100 * share:.2f}" for share in (unknown,)]
            cells.append("-" if full is None else f"{100 * full:.1f}")
            rows.append((role, f"{whole:,}", *cells))
            if role == "train":
                most = [i for i in np.argsort(-counts, kind="stable")[:FREQUENT] if counts[i]]
                shares = ", ".join(
                    f"{pieces[i].decode(errors='replace')!r} {counts[i] / whole:.1%}" for i in most
                )
        columns = ("split", "tokens", "unknown %", f"all {self.tokens.length or '-'} used %")
        said = [f"{self.tokens.ids:,} ids; most frequent: {shares}"]
        if self.tokens.length:
            said.append(
                f"what is longer than {self.tokens.length} tokens is cut: at most the share in the "
                "last column"
            )
        return Table(f"tokens{self._of(*ROLES)}", columns, rows), said

    # Duplicates ----------------------------------------------------------------------------------

    def repeated(self) -> dict[str, Repeats] | None:
        """What occurs twice, by split; None where a split is streamed, since all must be read."""
        if any(map(self.prepared.is_streamed, ROLES)):
            return None
        found = {role: self._digests(role) for role in ROLES}
        return {role: repeats(found[role], found["train"]) for role in ROLES}

    def told_repeated(self) -> list[str]:
        """The same in sentences."""
        found = self.repeated()
        if found is None:
            return ["duplicates: not looked for, since a split is streamed; dataset.feed=resident"]
        said = []
        for role, of in found.items():
            if not of.known:
                continue
            what = "repeat another one" if role == "train" else "have inputs that train has too"
            other = f", {of.changed:,} of them with another target" if of.changed else ""
            said.append(f"duplicates: {of.known:,} of {of.examples:,} in {role} {what}{other}")
        return said or ["duplicates: none within train, nor between train and the other splits"]

    def _digests(self, role: str) -> Digests:
        if getattr(self.prepared.frame, "whole", False):  # of windows: single steps are no examples
            framed = self.prepared.examples(role)
            return digests(framed.inputs, framed.targets)
        split = self.source.split(role)
        return digests(split.inputs, split.targets)

    # Examples ------------------------------------------------------------------------------------

    def stored(self, role: str) -> Any:
        """The inputs as TFDS decodes them: all, or a sample where they are streamed."""
        if not self.prepared.is_streamed(role):
            return self.source.split(role).inputs
        reader = self.prepared.reader(role)
        rows = spread(len(reader), SAMPLE)
        found = reader.stored(rows)
        if len(tf.nest.flatten(found)[0]) == len(rows):
            return found
        each = [reader.stored(rows[i : i + 1]) for i in range(len(rows))]  # they differ in size
        return tf.nest.map_structure(lambda *own: [array[0] for array in own], *each)

    def taken(self, role: str) -> Any:
        """The inputs as the model takes them, ``[n, ...]``: all, or those that fit in ``BYTES``."""
        return self.model_takes(self._sample(role).inputs)

    def at(self, role: str, rows: np.ndarray) -> Examples:
        """The examples at ``rows``, as the device has them."""
        if self.prepared.is_streamed(role):
            return self.prepared.reader(role)(rows)
        arrays = tf.nest.map_structure(lambda a: a[rows], self.prepared.examples(role).arrays)
        return Examples(arrays["inputs"], arrays.get("targets"), arrays.get("weights"))

    def size(self, role: str) -> int:
        """Examples as they are framed."""
        if self.prepared.is_streamed(role):
            return len(self.prepared.reader(role))
        return len(self.prepared.examples(role))

    def model_takes(self, inputs: Any) -> Any:
        """``inputs`` after the steps that run on the device."""
        parts = []
        for first in range(0, len(tf.nest.flatten(inputs)[0]), BATCH):
            part = tf.nest.map_structure(
                lambda a, at=first: tf.constant(a[at : at + BATCH]), inputs
            )
            made = self.prepared.preprocessing.device(part)
            parts.append(tf.nest.map_structure(lambda t: t.numpy(), made))
        return tf.nest.map_structure(lambda *own: np.concatenate(own), *parts)

    def _sample(self, role: str) -> Examples:
        if role not in self._samples:
            specs = tf.nest.flatten(self.prepared.model_inputs)
            each = sum(4 * int(np.prod(spec.shape.as_list()[1:] or [1])) for spec in specs)
            most = SAMPLE if self.prepared.is_streamed(role) else max(1, BYTES // each)
            self._samples[role] = self.at(role, spread(self.size(role), most))
        return self._samples[role]

    def _targets(self, role: str) -> np.ndarray:
        streamed = self.prepared.is_streamed(role)
        found = self._sample(role).targets if streamed else self.source.split(role).targets
        assert found is not None
        return found

    _labels = _targets

    def _of(self, *roles: str) -> str:
        """What a title adds where not all examples were looked at."""
        if any(map(self.prepared.is_streamed, roles)):
            return f", of {SAMPLE:,} examples of each streamed split"
        return ""

    def _model_inputs(self) -> str:
        specs = self.prepared.model_inputs
        named = specs if isinstance(specs, Mapping) else {"": specs}
        return ", ".join(
            f"{name} {'x'.join(map(str, spec.shape.as_list()[1:])) or 'one'} {spec.dtype.name}"
            for name, spec in named.items()
        ).strip()

    def _feed(self) -> str:
        streamed, size = self.prepared.is_streamed("train"), self.source.megabytes("train")
        name, takes = "stream" if streamed else "resident", f"train takes {size:,.2f} MiB"
        if self.config.feed != "auto":
            return f"{name}, as dataset.feed says; {takes}"
        than = "more than" if streamed else "at most"
        return f"{name}: {takes}, {than} dataset.memory={self.config.memory:g}"


# Words -------------------------------------------------------------------------------------------


def spread(count: int, most: int) -> np.ndarray:
    """At most ``most`` of ``count`` indices, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def few(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f", … ({len(names)} in all)" if len(names) > 2 * FEW else ""
    return ", ".join(names[: 2 * FEW]) + more


def cut(text: str, most: int) -> str:
    """``text``, or its beginning."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shortened(value: Any) -> str:
    """What ``describe`` tells, in a line: of long lists the beginning and how long they are."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shortened(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        more = f" … ({len(value):,})" if len(value) > FEW else ""
        return f"[{', '.join(map(shortened, value[:FEW]))}{more}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(value) if isinstance(value, str) else "none" if value is None else str(value)


def _told(frame: Any) -> str:
    given = ", ".join(f"{name}={value}" for name, value in vars(frame).items())
    return f"{type(frame).__name__}({given})"
