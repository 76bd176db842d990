"""What of a run is not as in the run that nothing happened to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# What a run need not repeat: how fast it went.
TIMINGS = ("speed/", "system/")


@dataclass(frozen=True)
class Difference:
    """Counts over any number of runs; ``points`` are those that were compared."""

    hashes: int = 0
    lost: int = 0
    duplicate: int = 0
    differing: int = 0
    additional: int = 0
    points: int = field(default=0, compare=False)

    def __add__(self, other: Difference) -> Difference:
        return Difference(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(vars(self).values())

    @property
    def none(self) -> bool:
        return self == Difference()


def compare(store: Any, expected: str, found: str, found_in: Any = None) -> Difference:
    """Two runs: digests of the weights, and every point of every metric.

    Args:
        store: of run ``expected``, and of ``found`` where ``found_in`` is no other one.
    """
    there = found_in or store
    one, other = store.recorded(expected), there.recorded(found)
    hashes = sum(one.tags[k] != other.tags.get(k) for k in ("sha256/last", "sha256/best"))
    lost = duplicate = differing = additional = count = 0
    for key in set(one.metrics) | set(other.metrics):
        if key.startswith(TIMINGS):
            continue
        a = {point.step: point.value for point in store.history(expected, key)}
        points = there.history(found, key)
        b = {point.step: point.value for point in points}
        lost += len(a.keys() - b.keys())
        additional += len(b.keys() - a.keys())
        duplicate += len(points) - len(b)
        differing += sum(a[step] != b[step] for step in a.keys() & b.keys())
        count += len(a)
    return Difference(hashes, lost, duplicate, differing, additional, count)


@dataclass
class Row:
    """What came of one kind of run: how many there were, and what was done to them."""

    runs: int = 0
    cycles: int = 0  # kills, outages
    difference: Difference = Difference()
    failed: int = 0
    remark: str = ""

    @property
    def perfect(self) -> bool:
        return self.difference.none and not self.failed and self.runs > 0

    def count(self, difference: Difference) -> None:
        """Take in one run."""
        self.runs += 1
        self.difference += difference
