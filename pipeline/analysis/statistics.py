"""Whether a difference between two configs is larger than the noise of the seeds.

Runs are paired by seed, because a seed fixes the initial weights and the order of the data for
both configs, and what the two have in common cancels in the difference. Everything is computed
from the differences d_1 … d_n, B minus A:

- The *test* is the exact sign-flip permutation test on the mean (Fisher, The Design of
  Experiments, 1935, section 21; Good, Permutation, Parametric and Bootstrap Tests of Hypotheses,
  3rd ed. 2005, section 3.2): were there no difference, each d_i would come with the other sign as
  likely, so p is the share of the 2^n assignments of signs whose mean is as far from zero. It
  assumes nothing of the distribution but its symmetry about zero. Its smallest p is 2 / 2^n, so
  with fewer than 6 seeds it can never reach 0.05: there, and for more than ``MOST_FLIPPED`` seeds,
  the paired t test is made (Student, The Probable Error of a Mean, Biometrika 6, 1908), which
  assumes a normal distribution of the differences.
- The *interval* is that of the same test, so it leaves out zero exactly where the test does: for
  sign flips between the k-th smallest and k-th largest of the means of all 2^n - 1 subsets, which
  covers with 1 - 2k / 2^n (Hartigan, Using Subsample Values as Typical Values, JASA 64, 1969); for
  t it is mean ± t(n-1) s / sqrt(n).
- *How many seeds would settle it* is the smallest n at which the test finds a difference of the
  observed size and deviation with a probability of 80 %, by the noncentral t distribution (Cohen,
  Statistical Power Analysis, 2nd ed. 1988, chapter 2). The observed effect is itself uncertain, so
  this is an order of magnitude, not a promise.

Of several metrics the objective is decided on alone. The p values of all others are raised by
Holm's procedure (A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Stat. 6, 1979),
so that one of them is called larger by chance in at most one comparison of twenty.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

Differences = Sequence[float] | np.ndarray

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1000  # up to which a needed number is worth naming
MOST_FLIPPED = 16  # seeds; 65,536 assignments of signs

SIGN_FLIP = "sign flips"
T = "paired t"


@dataclass(frozen=True)
class Paired:
    """One metric of A and B over the seeds that both have.

    Attributes:
        seeds: those that are paired, with finite values on both sides.
        alone: those that only one side has, or where a value is not finite; they are left out.
        mean_a, mean_b: over the paired seeds; where there are none, over those that a side has.
        difference: mean of B - A; NaN where no seed is paired.
        deviation: sample standard deviation of the differences; None for fewer than two.
        interval: that covers the true difference in 95 of 100 comparisons, of this metric alone;
            None where the differences have no spread to tell it by.
        test: which test p comes from; None where none is possible.
        p: two-sided; Holm's, where the metric is one of several.
        larger: whether p is at most 0.05.
        needed: seeds that would probably settle it; None where it is settled, where no number can
            be told, and above ``MOST_SEEDS``.
        advice: what would settle it, in words; empty where it is settled.
    """

    metric: str
    seeds: tuple[str, ...]
    alone: tuple[str, ...]
    mean_a: float
    mean_b: float
    difference: float
    deviation: float | None
    interval: tuple[float, float] | None
    test: str | None
    p: float | None
    larger: bool
    needed: int | None
    advice: str

    @property
    def verdict(self) -> str:
        """The answer in words."""
        if self.larger:
            return "larger than seed noise"
        count = len(self.seeds)
        return f"not larger than seed noise with {count} seed{'' if count == 1 else 's'}"


def judge(
    values: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]], objective: str | None
) -> list[Paired]:
    """Compare every metric: ``values`` has for each the values of A and of B by seed.

    The objective is decided on alone, all others together with Holm's correction.
    """
    others = [metric for metric in values if metric != objective]
    first = {m: _paired(m, *values[m], 1 if m == objective else len(others)) for m in values}
    raised = dict(zip(others, holm([first[m].p for m in others]), strict=True))
    return [
        paired if metric == objective else _decided(paired, raised[metric], len(others))
        for metric, paired in first.items()
    ]


def compare(metric: str, a: Mapping[str, float], b: Mapping[str, float]) -> Paired:
    """Compare one metric, decided on alone: values of A and of B by seed."""
    return _paired(metric, a, b, 1)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's p values of these hypotheses together; None stays None, and counts as one of them."""
    order = sorted((p, index) for index, p in enumerate(ps) if p is not None)
    raised: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * p))
        raised[index] = highest
    return raised


def sign_flip_test(differences: Differences) -> float:
    """Two-sided p of the exact sign-flip test on the mean, of at most ``MOST_FLIPPED`` values."""
    d = np.asarray(differences, dtype=np.float64)
    sums = _subsets(len(d)) @ d * 2 - d.sum()  # those of the subset stay, the others are flipped
    observed = abs(d.sum())
    as_far = np.abs(sums) >= observed - 1e-12 * np.abs(d).sum()  # equal but for rounding
    return float(np.mean(as_far))


def sign_flip_interval(differences: Differences) -> tuple[float, float]:
    """The values that the sign-flip test does not rule out at 5 %, as the true difference."""
    d = np.asarray(differences, dtype=np.float64)
    chosen = _subsets(len(d))[1:]  # without the empty one
    means = np.sort(chosen @ d / chosen.sum(axis=1))
    k = max(1, math.floor(ALPHA / 2 * 2 ** len(d)))
    return float(means[k - 1]), float(means[-k])


def t_test(differences: Differences) -> float:
    """Two-sided p of the paired t test; the values may not all be the same."""
    d = np.asarray(differences, dtype=np.float64)
    t = d.mean() / (d.std(ddof=1) / math.sqrt(len(d)))
    return float(2 * special.stdtr(len(d) - 1, -abs(t)))


def t_interval(differences: Differences) -> tuple[float, float]:
    """The 95 % interval of the mean by Student's t."""
    d = np.asarray(differences, dtype=np.float64)
    half = float(special.stdtrit(len(d) - 1, 1 - ALPHA / 2) * d.std(ddof=1) / math.sqrt(len(d)))
    return float(d.mean()) - half, float(d.mean()) + half


def power(effect: float, seeds: int, level: float = ALPHA) -> float:
    """The probability that a test at ``level`` finds a difference of ``effect`` deviations."""
    if flips_reach(seeds, level):
        level = 2 * math.floor(level / 2 * 2**seeds) / 2**seeds  # that it can attain
    freedom, shift = seeds - 1, effect * math.sqrt(seeds)
    critical = special.stdtrit(freedom, 1 - level / 2)
    # The distribution function comes out as NaN for some of the arguments where it is nearly zero.
    below, far_below = np.nan_to_num(special.nctdtr(freedom, shift, [critical, -critical]))
    return float(1 - below + far_below)


def seeds_needed(effect: float, level: float = ALPHA, above: int = 1) -> int | None:
    """The smallest number of seeds, more than ``above``, that finds ``effect`` with 80 %.

    None: it is more than ``MOST_SEEDS``.
    """

    def do(seeds: int) -> bool:
        return power(abs(effect), seeds, level) >= POWER

    first = max(2, above + 1)
    few = next((seeds for seeds in range(first, MOST_FLIPPED + 1) if do(seeds)), None)
    if few is not None:
        return few
    # From here on it is one test at one level, so that power only grows.
    larger = range(max(first, MOST_FLIPPED + 1), MOST_SEEDS + 1)
    found = bisect.bisect_left(larger, True, key=do)
    return larger[found] if found < len(larger) else None


def flips_reach(seeds: int, level: float = ALPHA) -> bool:
    """Whether so many seeds are tested by sign flips: p can be as small as ``level``."""
    return seeds <= MOST_FLIPPED and 2.0 ** (1 - seeds) <= level


# One metric --------------------------------------------------------------------------------------


def _paired(metric: str, a: Mapping[str, float], b: Mapping[str, float], hypotheses: int) -> Paired:
    everywhere = sorted({*a, *b}, key=_natural)
    seeds = [s for s in everywhere if math.isfinite(a.get(s, math.nan) - b.get(s, math.nan))]
    before = np.array([a[s] for s in seeds], dtype=np.float64)
    after = np.array([b[s] for s in seeds], dtype=np.float64)
    d = after - before
    level = ALPHA / max(1, hypotheses)
    alike = len(d) > 0 and np.ptp(d) <= 1e-12 * max(np.abs(before).max(), np.abs(after).max())
    p, test, interval = None, None, None
    if len(d) > 1:
        flips = alike or flips_reach(len(d), level)  # without a spread there is no t
        test = SIGN_FLIP if flips else T
        if alike:
            p = 2.0 ** (1 - len(d)) if d.any() else 1.0
        else:
            p = sign_flip_test(d) if flips else t_test(d)
            interval = sign_flip_interval(d) if flips else t_interval(d)
    found = Paired(
        metric=metric,
        seeds=tuple(seeds),
        alone=tuple(seed for seed in everywhere if seed not in seeds),
        mean_a=_mean([a[seed] for seed in seeds or a]),
        mean_b=_mean([b[seed] for seed in seeds or b]),
        difference=float(d.mean()) if len(d) else math.nan,
        deviation=None if len(d) < 2 else 0.0 if alike else float(d.std(ddof=1)),
        interval=interval,
        test=test,
        p=p,
        larger=False,
        needed=None,
        advice="",
    )
    return _decided(found, p, hypotheses)


def _decided(found: Paired, p: float | None, hypotheses: int) -> Paired:
    """``found`` with this p, and what it means."""
    larger = p is not None and p <= ALPHA
    needed, advice = (None, "") if larger else _what_settles(found, ALPHA / max(1, hypotheses))
    return Paired(**{**vars(found), "p": p, "larger": larger, "needed": needed, "advice": advice})


def _what_settles(found: Paired, level: float) -> tuple[int | None, str]:
    count = len(found.seeds)
    if count == 0:
        return None, "no seed is shared, so nothing can be paired: run the same seeds on both sides"
    if found.deviation is None:
        return None, "one pair cannot be told from noise: run at least 3 seeds on both sides"
    if found.difference == 0:
        return None, "no number of seeds would settle it, were this the difference"
    if found.deviation == 0:
        needed = next(n for n in itertools.count(count) if 2.0 ** (1 - n) <= level)
        same = f"the {count} differences are all the same, which gives no spread to judge by"
        return needed, f"{same}: {needed} such seeds would settle it"
    settled = seeds_needed(found.difference / found.deviation, level, count)
    said = f"more than {MOST_SEEDS:,}" if settled is None else f"about {settled:,}"
    return settled, f"{said} seeds would settle it, were this the difference"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _subsets(count: int) -> np.ndarray:
    """Every subset of ``count`` things as a row of zeros and ones, the empty one first."""
    return (np.arange(2**count)[:, None] >> np.arange(count)) & 1


def _natural(seed: str) -> tuple[float, str]:
    return (float(seed) if seed.lstrip("-").isdigit() else math.inf), seed
