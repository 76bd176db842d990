"""The figures of a study: what every run came to, and how its arms got there.

The same values give the same bytes: no dates, no random ids. Each file names the digest of the
table that it was drawn with, so that a stale one is known.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.analysis.curves import COLOURS, Curve, History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg")
DECADES = 20  # times the smallest value, from which on a logarithmic axis shows more
STYLE: Any = {"svg.hashsalt": "study", "svg.fonttype": "none", "font.family": "DejaVu Sans"}


def draw_scores(
    scores: Mapping[str, Sequence[float]], metric: str, baseline: str, to: Path, digest: str
) -> None:
    """A dot for each run, arm beside arm, with the mean and its 95 % interval.

    Args:
        scores: arm -> values, of the same seeds in the same order.
        to: path without ending; both a .png and a .svg are written.
        digest: kept in the files.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from pipeline.analysis.statistics import t_interval

    with rc_context(STYLE):
        figure = Figure(figsize=(1.6 + 1.5 * len(scores), 4), layout="constrained")
        axes = figure.subplots()
        for place, (values, colour) in enumerate(
            zip(scores.values(), _colours(scores), strict=True)
        ):
            spread = [
                place + 0.08 * (i / max(1, len(values) - 1) - 0.5) for i in range(len(values))
            ]
            axes.scatter(spread, values, s=18, color=colour, alpha=0.6, linewidths=0)
            mean = statistics.fmean(values)
            low, high = t_interval(values) if len(set(values)) > 1 else (mean, mean)
            error = [[mean - low], [high - mean]]
            axes.errorbar(place + 0.2, mean, error, fmt="o", color=colour, capsize=4)
        axes.set_xticks(range(len(scores)))
        axes.set_xticklabels(f"{a}\n(baseline)" if a == baseline else a for a in scores)
        axes.set_xlim(-0.5, len(scores) - 0.5)
        axes.set_ylabel(metric)
        axes.set_title("each run, mean and its 95 % interval", fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        _save(figure, to, digest)


def draw_curves(
    panels: Mapping[str, Mapping[str, Sequence[History]]], to: Path, digest: str
) -> None:
    """A panel for each metric: the mean over the seeds, in a band of one standard deviation.

    Args:
        panels: metric -> arm -> a history for each seed.
        to, digest: as of ``draw_scores``.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(6 * len(panels), 4), layout="constrained")
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (metric, arms) in zip(places, panels.items(), strict=True):
            dashes = ("solid", "dashed", "dotted", "dashdot")  # curves that coincide are all seen
            for index, ((arm, histories), colour) in enumerate(
                zip(arms.items(), _colours(arms), strict=True)
            ):
                mean = Curve(arm, histories).mean
                steps = [step for step, _ in mean]
                middle = [value for _, value in mean]
                width = [_deviation(histories, step) for step in steps]
                style = dashes[index % len(dashes)]
                axes.plot(steps, middle, color=colour, linewidth=1.6, linestyle=style, label=arm)
                low = [m - w for m, w in zip(middle, width, strict=True)]
                high = [m + w for m, w in zip(middle, width, strict=True)]
                axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
            values = [v for hs in arms.values() for h in hs for _, v in h if math.isfinite(v)]
            if values and min(values) > 0 and max(values) > DECADES * min(values):
                axes.set_yscale("log")
            axes.set_xlabel("step")
            axes.set_title(f"{metric}: mean ± standard deviation over seeds", fontsize=10)
            axes.grid(alpha=0.3)
            axes.legend()
        _save(figure, to, digest)


def _colours(arms: Mapping[str, object]) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(arms))]


def _deviation(histories: Sequence[History], step: int) -> float:
    values = [v for history in histories if math.isfinite(v := dict(history).get(step, math.nan))]
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _save(figure: Figure, to: Path, digest: str) -> None:
    for ending in ENDINGS:
        description = {"Description": f"results.csv {digest}"}
        undated = {"Date": None, "Creator": None} if ending == ".svg" else {"Software": None}
        figure.savefig(to.with_suffix(ending), dpi=110, metadata=description | undated)
