"""What can be said of a dataset as it is trained on, for ``pipeline.data``: texts and tables.

A split that is streamed is looked at in a sample, and what comes of it says so. Counting and
drawing are ``analysis``'s; nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.analysis.dataset_summary import (
    ClassShare,
    Statistics,
    Table,
    class_balance,
    statistics,
    summary,
)
from pipeline.analysis.in_a_line import cut, few, shortened
from pipeline.bucketing import bucketed
from pipeline.data.duplicates import Digests, Repeats, digests, repeats
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Columns, Tokens
from pipeline.data.samples import Samples
from pipeline.data.source import ROLES

CLASSES = 20  # that have a row each; of more, the most and the least frequent
FREQUENT = 10  # tokens that are named
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
        self.samples = Samples(prepared)

    def facts(self) -> dict[str, str]:
        """What it is, what goes in and what is predicted, how it is fed."""
        source, target = self.source, self.source.target
        licence = cut(" ".join(source.license.split()), 160) or "TFDS names none"
        names = "" if isinstance(source.inputs, dict) else f"{self.config.inputs} "
        frame = self.prepared.frame
        predicted = {
            "class": f"{self.config.target}: one of {source.classes} classes",
            "classes": f"{self.config.target}: any of {source.classes} classes",
            "numbers": f"{', '.join(target.paths)}: {_numbers(target.size)}",
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
        if mix := self.prepared.told_mix():
            facts["mix"] = mix
        return facts | {"feed": self._feed()}

    def splits(self) -> Table:
        """How large each split is, and where it is held."""
        rows = []
        for role in ROLES:
            held = "stream" if self.prepared.is_streamed(role) else "resident"
            expression = self.source.named(role)
            size = _megabytes(self.source.megabytes(role))
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
        found = {
            role: class_balance(self.samples.targets(role), self.source.class_names)
            for role in ROLES
        }
        order = list(range(len(found["train"])))
        partly = [
            f"{role} is streamed: these are of{part.removeprefix(',')}"
            for role in ROLES
            if (part := _part(len(self.samples.targets(role)), self.source.sizes[role]))
        ]
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
            said.append(f"always to answer {most.name!r} scores {test.share:.1%} on test")
        columns = ("class", *(word for role in ROLES for word in (role, "%")))
        return Table("classes", columns, rows), [*partly, *said]

    def _lacks(self, role: str, balance: Sequence[ClassShare]) -> Iterator[str]:
        lacking = [repr(share.name) for share in balance if not share.count]
        if lacking:
            whole = len(self.samples.targets(role)) == self.source.sizes[role]
            what = role if whole else f"what was looked at of {role}"
            yield f"warning: {what} has no example of {few(lacking)}"

    # Numbers and lengths -------------------------------------------------------------------------

    def numbers(self, role: str) -> list[Table]:
        """The features of a split, as they are stored and as the model takes them."""
        stored, target = self.samples.stored(role), self.source.target
        named = stored if isinstance(stored, Mapping) else {str(self.config.inputs): stored}
        first = summary(f"{role} as stored", named)
        first = replace(first, name=first.name + _part(first.examples, self.source.sizes[role]))
        if target.kind == "numbers" and self.prepared.frame is None:
            found = statistics(", ".join(target.paths), self.samples.targets(role))
            if len(found) == len(target.names):
                found = [replace(r, name=n) for r, n in zip(found, target.names, strict=True)]
            first = replace(first, statistics=[*first.statistics, *found])
        taken = self.samples.taken(role)
        named = taken if isinstance(taken, Mapping) else {"inputs": taken}
        second = summary(f"{role} as the model takes it", named)
        second = replace(
            second,
            name=second.name + _part(second.examples, self.samples.size(role)),
            statistics=[_rounded(row) for row in self._with_names(second.statistics)],
        )
        return [table for told in (first, second) for table in told.tables()]

    def _with_names(self, rows: Sequence[Statistics]) -> Sequence[Statistics]:
        """The columns that ``Columns`` has made, by their names."""
        names = self._columns.describe()["columns"] if self._columns else []
        if len(names) != len(rows):
            return rows
        return [replace(row, name=name) for row, name in zip(rows, names, strict=True)]

    # Tokens --------------------------------------------------------------------------------------

    def vocabulary(self) -> tuple[Table | None, list[str]]:
        """What of each split the vocabulary knows, and its most frequent tokens."""
        if self.tokens is None or isinstance(self.prepared.model_inputs, Mapping):
            return None, []
        rows, shares, partly = [], "", []
        pieces, length = self.tokens.vocabulary.pieces, self.tokens.length
        for role in ROLES:
            ids = self.samples.taken(role)
            if ids.dtype.kind not in "iu":  # steps after it made something else
                return None, []
            part = _part(len(ids), self.samples.size(role))
            partly += [f"of {role}{part}"] if part else []
            counts = np.bincount(ids.reshape(-1), minlength=len(pieces))
            counts[0] = 0  # padding
            whole = max(1, int(counts.sum()))
            unknown = counts[1] if self.tokens.vocabulary.learns else 0
            full = f"{100 * (ids[:, -1] != 0).mean():.1f}" if length else "-"
            rows.append((role, f"{whole:,}", f"{100 * unknown / whole:.2f}", full))
            if role == "train":
                most = [i for i in np.argsort(-counts, kind="stable")[:FREQUENT] if counts[i]]
                shares = ", ".join(f"{self.piece(i)!r} {counts[i] / whole:.1%}" for i in most)
        said = [f"{self.tokens.ids:,} ids; most frequent in train: {shares}"]
        if length:
            said.append(f"full: texts that fill all {length} places; what is longer is cut")
        columns = ("split", "tokens", "unknown %", "full %")
        return Table("tokens", columns, rows), [*partly, *said]

    def piece(self, token: int) -> str:
        """The text that a token stands for."""
        assert self.tokens is not None
        return self.tokens.vocabulary.pieces[token].decode(errors="replace")

    # Buckets -------------------------------------------------------------------------------------

    def buckets(self) -> tuple[Table | None, list[str]]:
        """How many examples of training are in each of ``dataset.buckets``, if there are some.

        Raises:
            UserError: training could not cut them.
        """
        if not self.config.buckets:
            return None, []
        order = bucketed(self.prepared, list(self.config.buckets), batch=1)
        rows = [
            (f"{length:,}", f"{round(share * order.size):,}", f"{100 * share:.1f}")
            for length, share in order.shares().items()
        ]
        steps = order.computed(seed=0) / order.size / self.prepared.model_inputs.shape[1]
        said = [
            f"batches of one bucket each have {steps:.0%} of the steps that uncut ones have; those "
            "in which a bucket ends have more"
        ]
        return Table("train by length", ("cut to", "examples", "%"), rows), said

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
            return [
                "duplicates: not looked for, since a split is streamed; dataset.feed=resident would"
            ]
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

    def _model_inputs(self) -> str:
        specs = self.prepared.model_inputs
        named = specs if isinstance(specs, Mapping) else {"": specs}
        return ", ".join(
            f"{name} {'x'.join(map(str, spec.shape.as_list()[1:])) or 'one'} {spec.dtype.name}"
            for name, spec in named.items()
        ).strip()

    def _feed(self) -> str:
        streamed = self.prepared.is_streamed("train")
        name = "stream" if streamed else "resident"
        takes = f"train takes {_megabytes(self.source.megabytes('train'))} MiB"
        if self.config.feed != "auto":
            return f"{name}, as dataset.feed says; {takes}"
        than = "more than" if streamed else "at most"
        return f"{name}: {takes}, {than} the {self.config.memory:g} of dataset.memory"


def _part(looked: int, examples: int) -> str:
    """What to add where only some of the examples were looked at."""
    return f", {looked:,} of {examples:,} examples" if looked < examples else ""


def _rounded(row: Statistics) -> Statistics:
    """A mean that differs from 0 by rounding alone is 0."""
    return replace(row, mean=0.0) if abs(row.mean) < 1e-6 * row.deviation else row


def _megabytes(size: float) -> str:
    return f"{size:,.2f}" if size >= 0.005 else "<0.01"


def _numbers(count: int | None) -> str:
    return "a number" if count == 1 else f"{count} numbers"


def _told(frame: Any) -> str:
    given = ", ".join(f"{name}={value}" for name, value in vars(frame).items())
    return f"{type(frame).__name__}({given})"
