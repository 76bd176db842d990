"""Whether two runs are the same, from their metric histories and the digests of their weights.

Plain values in, plain values out; where they come from is ``pipeline.tracking``'s business.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

History = Mapping[str, Sequence[tuple[int, float]]]  # metric -> (step, value), in any order

TIMING = ("speed/", "system/")  # metrics that measure the machine: never twice the same
ROUNDING = 1e-3  # relative difference up to which runs count as equal but for rounding
_BEST = "best/"
_ORDER = ("train/", "val/", _BEST, "test/")  # at one step: in the order in which they come about


@dataclass(frozen=True)
class Difference:
    """A point that is not the same in both runs; None stands where there is no such point."""

    metric: str
    step: int
    recorded: float | None
    now: float | None

    @property
    def relative(self) -> float:
        """By the larger of the two; infinite where one is missing or not finite."""
        a, b = self.recorded, self.now
        if a is None or b is None or not math.isfinite(a) or not math.isfinite(b):
            return math.inf
        return abs(a - b) / max(abs(a), abs(b))

    def __str__(self) -> str:
        recorded = "no point" if self.recorded is None else f"{self.recorded:.9g}"
        now = "no point" if self.now is None else f"{self.now:.9g}"
        return f"{self.metric} at step {self.step}: {recorded} recorded, {now} now"


@dataclass(frozen=True)
class Verdict:
    """What came of a comparison.

    Attributes:
        points, metrics: how many were compared, timing left out.
        weights: whether the digests of the weights agree; None where the record has none.
        tolerance: the relative difference up to which values count as equal.
        largest: of the differences at points that both runs have the one that is relatively
            largest; None where all are the same bits.
        first: the first difference beyond the tolerance, points missing or extra included.
    """

    points: int
    metrics: int
    weights: bool | None
    tolerance: float
    largest: Difference | None
    first: Difference | None

    @property
    def identical(self) -> bool:
        """Every bit that could be compared is the same."""
        return self.first is None and self.largest is None and self.weights is not False

    def __str__(self) -> str:
        if self.first is not None:
            return f"different from step {self.first.step} of {self.first.metric} on"
        if self.largest is not None:
            return f"equal to {_at_most(self.largest.relative)}"
        if self.weights is False:
            return "equal in every point, but not in the weights"
        return "bit-identical"


def _at_most(value: float) -> str:
    """With two digits, rounded up: a tolerance that is stated is kept."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit) * unit:.1e}"


def is_timing(metric: str) -> bool:
    """Whether a metric measures the machine rather than the training."""
    return metric.startswith(TIMING)


def compare(
    recorded: History,
    now: History,
    *,
    recorded_weights: Mapping[str, str] | None = None,
    weights_now: Mapping[str, str] | None = None,
    tolerance: float = ROUNDING,
    unfinished: bool = False,
) -> Verdict:
    """Compare every point: key, step and value, how often each occurs included. NaN equals NaN.

    A point of ``best/M`` is logged where M improves. Where M differs by rounding, an improvement
    may come a step earlier or later: then such a point that is missing or extra is no difference
    of its own.

    Args:
        recorded_weights, weights_now: digests by name, such as ``sha256/last``.
        tolerance: on the relative difference ``|a - b| / max(|a|, |b|)``.
        unfinished: the record was cut off; each metric is compared up to its last recorded step.
    """
    recorded = {key: points for key, points in recorded.items() if points and not is_timing(key)}
    now = {key: points for key, points in now.items() if points and not is_timing(key)}
    if unfinished:
        ends = {key: max(step for step, _ in points) for key, points in recorded.items()}
        now = {k: [p for p in points if p[0] <= ends[k]] for k, points in now.items() if k in ends}
    keys = sorted(recorded.keys() | now.keys())
    pairs = [pair for key in keys for pair in _pairs(key, recorded.get(key, ()), now.get(key, ()))]
    found = sorted((pair for pair in pairs if _differs(pair)), key=_place)
    values = [d for d in found if d.recorded is not None and d.now is not None]
    beyond = (d for d in found if d.relative > tolerance and not _follows(d, values))
    known = recorded_weights or {}
    return Verdict(
        points=len(pairs),
        metrics=len(keys),
        weights=known == {k: (weights_now or {}).get(k) for k in known} if known else None,
        tolerance=tolerance,
        largest=max(values, key=lambda d: d.relative, default=None),
        first=next(beyond, None),
    )


def _pairs(
    key: str, recorded: Sequence[tuple[int, float]], now: Sequence[tuple[int, float]]
) -> Iterator[Difference]:
    """The points of one metric side by side, the same ones too."""
    at: defaultdict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for side, points in enumerate((recorded, now)):
        for step, value in points:
            at[step][side].append(value)
    for step, (ours, theirs) in at.items():
        for a, b in zip_longest(ours, theirs):
            yield Difference(key, step, a, b)


def _differs(pair: Difference) -> bool:
    a, b = pair.recorded, pair.now
    if a is None or b is None:
        return True
    return a != b and not (math.isnan(a) and math.isnan(b))


def _place(difference: Difference) -> tuple[int, int, str]:
    metric = difference.metric
    rank = next((i for i, start in enumerate(_ORDER) if metric.startswith(start)), 0)
    return difference.step, rank, metric


def _follows(point: Difference, values: Sequence[Difference]) -> bool:
    """Whether a point of ``best/M`` is missing or extra because M itself differs up to there."""
    lacking = point.recorded is None or point.now is None
    return (
        lacking
        and point.metric.startswith(_BEST)
        and any(
            d.metric == point.metric.removeprefix(_BEST) and d.step <= point.step for d in values
        )
    )
