"""What was measured: a row for every block, and what follows from the rows."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from contenders import ENTRIES

NOISY = 0.25  # a larger spread over the rounds says nothing


@dataclass(frozen=True)
class Block:
    """A block of training; ``failed``: why there is none."""

    workload: str
    replicas: int
    contender: str
    round: int = 0
    steps: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    failed: str = ""

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds


@dataclass(frozen=True)
class Numbers:
    """One number from each round."""

    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """From the lowest to the highest, as a part of the median."""
        return (max(self.values) - min(self.values)) / self.median


@dataclass
class Race:
    """All blocks of one workload on so many replicas."""

    workload: str
    replicas: int
    blocks: list[Block] = field(default_factory=list)

    def rates(self, contender: str) -> dict[int, float]:
        """Steps per second by round."""
        return {b.round: b.rate for b in self.blocks if b.contender == contender and not b.failed}

    def numbers(self, contender: str) -> Numbers | None:
        """The rates of a contender that took part to the end."""
        rates = self.rates(contender)
        return Numbers(list(rates.values())) if rates and not self.failure(contender) else None

    def failure(self, contender: str) -> str:
        """Why it did not; empty where it did or was not asked."""
        return next((b.failed for b in self.blocks if b.contender == contender and b.failed), "")

    def best(self, group: str) -> str | None:
        """Of the variants in a group, the contender with the highest median."""
        medians = {
            name: numbers.median
            for name, entry in ENTRIES.items()
            if entry.group == group and (numbers := self.numbers(name))
        }
        return max(medians, key=medians.__getitem__) if medians else None

    def ratio(self, group: str, scale: float = 1.0) -> Numbers | None:
        """Our rate over that of the best of a group, in each round, times ``scale``."""
        best = self.best(group)
        if best is None or self.numbers("ours") is None:
            return None
        ours, theirs = self.rates("ours"), self.rates(best)
        return Numbers([scale * rate / theirs[r] for r, rate in ours.items() if r in theirs])

    @property
    def noisy(self) -> list[str]:
        """Contenders that were so much faster in one round than in another."""
        numbers = {name: self.numbers(name) for name in ENTRIES}
        return [name for name, n in numbers.items() if n is not None and n.spread > NOISY]


def races(blocks: Iterable[Block]) -> list[Race]:
    """The blocks by workload and replicas, in their order."""
    found: dict[tuple[str, int], Race] = {}
    for block in blocks:
        key = (block.workload, block.replicas)
        found.setdefault(key, Race(*key)).blocks.append(block)
    return list(found.values())


def read(file: Path) -> list[Block]:
    """What ``write`` wrote."""
    kinds = {f.name: {"int": int, "float": float, "str": str}[str(f.type)] for f in fields(Block)}
    with open(file, newline="", encoding="utf-8") as lines:
        return [
            Block(**{name: kinds[name](text) for name, text in row.items()})
            for row in csv.DictReader(lines)
        ]


def write(blocks: Iterable[Block], file: Path) -> None:
    """As a table."""
    with open(file, "w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, [f.name for f in fields(Block)])
        table.writeheader()
        table.writerows(asdict(block) for block in blocks)
