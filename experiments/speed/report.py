"""Tables, verdicts and a figure out of what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from blocks import NOISY, Race
from contenders import ENTRIES, GROUPS
from targets import TARGETS
from workloads import WORKLOADS


def markdown(races: Sequence[Race]) -> str:
    """Everything as a page, each number with its lowest and highest."""
    sections = [_machine(), "## In short", summary(races)]
    for replicas in sorted({race.replicas for race in races}):
        chosen = [race for race in races if race.replicas == replicas]
        sections.append(f"## {replicas} replica{'s' * (replicas > 1)}")
        sections += [_speeds(chosen), _ratios(chosen), *_failures(chosen), _verdicts(chosen)]
    return "\n\n".join(section for section in sections if section) + "\n"


def summary(races: Sequence[Race]) -> str:
    """Ours, and how many times as fast as the peers it is; medians over the rounds."""
    groups = [group for group in GROUPS if group not in ("ours", "products")]
    table = [["training", "ours, steps/s", *(f"times {GROUPS[group]}" for group in groups)]]
    for race in races:
        numbers = race.numbers("ours")
        name = WORKLOADS[race.workload].title
        row = [name if race.replicas == 1 else f"{name}, {race.replicas} replicas"]
        row.append(_rate(numbers.median) if numbers else "failed")
        for group in groups:
            ratio = race.ratio(group)
            row.append(f"{ratio.median:.2f}" if ratio else "")
        table.append(row)
    return _table(table)


def figure(races: Sequence[Race], folder: Path) -> None:
    """``results.png`` and ``results.svg``: speeds relative to ours, one panel for each replicas."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    counts = sorted({race.replicas for race in races})
    groups = [name for name in GROUPS if name not in ("ours", "products")]
    panels, axes = pyplot.subplots(
        len(counts), figsize=(9, 3.6 * len(counts)), squeeze=False, layout="constrained"
    )
    for ax, replicas in zip(axes[:, 0], counts, strict=True):
        chosen = [race for race in races if race.replicas == replicas]
        for i, group in enumerate(groups):
            points = []
            for x, race in enumerate(chosen):
                if ratio := race.ratio(group):
                    relative = sorted(1 / value for value in ratio.values)
                    points.append((x, 1 / ratio.median, relative[0], relative[-1]))
            if not points:
                continue
            place, height, low, high = (list(column) for column in zip(*points, strict=True))
            below = [h - lowest for h, lowest in zip(height, low, strict=True)]
            above = [highest - h for h, highest in zip(height, high, strict=True)]
            shift = (i - (len(groups) - 1) / 2) * 0.15
            where = [x + shift for x in place]
            ax.bar(where, height, 0.14, label=GROUPS[group], yerr=[below, above], capsize=2)
        ax.axhline(1.0, color="black", linewidth=1, label="ours")
        ax.set_xticks(range(len(chosen)), [race.workload for race in chosen])
        ax.set_ylabel("steps/s, ours = 1")
        ax.set_title(f"{replicas} replica{'s' * (replicas > 1)}")
        ax.legend(fontsize="small")
    for ending in ("png", "svg"):
        panels.savefig(folder / f"results.{ending}", dpi=120)
    pyplot.close(panels)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores of {_processor()}; TensorFlow {version('tensorflow')}, Keras "
        f"{version('keras')}, Python {platform.python_version()}. Medians over the rounds, "
        "with the lowest and the highest."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _speeds(races: Sequence[Race]) -> str:
    """Steps per second of every contender."""
    asked = {block.contender for race in races for block in race.blocks}
    names = [name for name in ENTRIES if name in asked]
    table = [["steps/s", *(ENTRIES[name].title for name in names), "noise"]]
    for race in races:
        row = [WORKLOADS[race.workload].title]
        for name in names:
            numbers = race.numbers(name)
            if numbers is None:
                row.append("failed" if race.failure(name) else "")
            else:
                low, high = (_rate(f(numbers.values)) for f in (min, max))
                row.append(f"{_rate(numbers.median)} ({low} to {high})")
        noisy = ", ".join(ENTRIES[name].title for name in race.noisy)
        row.append(f"too noisy to tell: {noisy} vary by more than {NOISY:.0%}" if noisy else "")
        table.append(row)
    return _table(table)


def _ratios(races: Sequence[Race]) -> str:
    """Ours over the best of every group, round by round."""
    groups = [
        group
        for group in GROUPS
        if group not in ("ours", "products") and any(race.ratio(group) for race in races)
    ]
    if not groups:
        return ""
    table = [["ours, times", *(GROUPS[group] for group in groups)]]
    for race in races:
        row = [WORKLOADS[race.workload].title]
        for group in groups:
            ratio = race.ratio(group)
            low, high = (min(ratio.values), max(ratio.values)) if ratio else (0.0, 0.0)
            row.append(f"{ratio.median:.2f} ({low:.2f} to {high:.2f})" if ratio else "")
        table.append(row)
    return _table(table)


def _failures(races: Sequence[Race]) -> list[str]:
    lines = []
    for race in races:
        for name, entry in ENTRIES.items():
            if failure := race.failure(name):
                lines.append(f"- {entry.title} failed on {race.workload}: `{failure}`")
    return ["\n".join(lines)] if lines else []


def _verdicts(races: Sequence[Race]) -> str:
    by_key = {(race.workload, race.replicas): race for race in races}
    lines = []
    for target in TARGETS:
        if race := by_key.get((target.workload, target.replicas)):
            lines.append(f"- {WORKLOADS[target.workload].title}: {target.verdict(race)}")
    return "\n".join(lines)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
