"""Metrics over training: in the terminal, or in a file that is a picture or a page."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

History = Sequence[tuple[int, float]]

PICTURES = (".png", ".svg")
FORMATS = (*PICTURES, ".html")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito, 2008
TERMINAL_COLOURS = ("cyan", "yellow", "green", "magenta", "red", "blue")
HEIGHT = 14  # lines of the terminal
BESIDE = 23  # columns that the axes take beside the drawing
ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Curve:
    """One metric of the runs of one config, which ``label`` names."""

    label: str
    runs: Sequence[History]

    @property
    def mean(self) -> list[tuple[int, float]]:
        """The mean over the runs at each step, of those that have a finite value there."""
        at: defaultdict[int, list[float]] = defaultdict(list)
        for history in self.runs:
            # A step that was logged again, by a run that was resumed, counts as it came out last.
            for step, value in dict(history).items():
                if math.isfinite(value):
                    at[step].append(value)
        return [(step, sum(at[step]) / len(at[step])) for step in sorted(at)]


def in_terminal(metric: str, curves: Sequence[Curve], width: int, colours: bool) -> str:
    """The means as text, ``width`` columns wide; empty where there is nothing to draw."""
    import plotille

    drawn = [(curve.label, curve.mean) for curve in curves]
    drawn = [(label, mean) for label, mean in drawn if mean]
    if not drawn:
        return ""
    figure = plotille.Figure()
    steps = [step for _, mean in drawn for step, _ in mean]
    values = [value for _, mean in drawn for _, value in mean]
    last, room = max(1, *steps), max(20, width - BESIDE)
    tick = _round_up(last / (room / 10))  # there is one every ten columns
    figure.width, figure.height = min(room, math.ceil(last / tick * 10) + 1), HEIGHT
    figure.set_x_limits(0, tick * figure.width / 10)
    figure.with_colors = colours
    figure.x_label, figure.y_label = "step", metric
    figure.register_label_formatter(float, _label)
    figure.register_label_formatter(int, _label)
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    figure.set_y_limits(low - margin, high + margin)
    for index, (label, mean) in enumerate(drawn):
        figure.plot(
            [step for step, _ in mean],
            [value for _, value in mean],
            lc=TERMINAL_COLOURS[index % len(TERMINAL_COLOURS)] if colours else None,
            label=label,
            marker=label[:1],
        )
    return "\n".join(line.rstrip() for line in figure.show().replace("⠀", " ").splitlines())


def require_format(file: Path) -> None:
    """Raise ``ConfigError`` where ``plot`` cannot write ``file``."""
    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"--plot {file}: give a file that ends in {', '.join(FORMATS)}.")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"--plot {file}: there is no folder {file.absolute().parent}.")


def plot(panels: Mapping[str, Sequence[Curve]], file: Path) -> None:
    """Draw a panel for each metric: every run thin, the mean of several thick.

    Raises:
        ConfigError: the file cannot be written.
    """
    require_format(file)
    try:
        if file.suffix.lower() == ".html":
            _page(panels, file)
        else:
            _picture(panels, file)
    except OSError as error:
        raise ConfigError(f"--plot {file}: it cannot be written ({error.strerror}).") from None


def _picture(panels: Mapping[str, Sequence[Curve]], file: Path) -> None:
    from matplotlib.figure import Figure  # without pyplot, which looks for a screen

    figure = Figure(figsize=(6 * len(panels), 4), layout="constrained")
    for axes, (metric, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for index, curve in enumerate(curves):
            colour = COLOURS[index % len(COLOURS)]
            several = len(curve.runs) > 1
            for history in curve.runs if several else ():
                axes.plot(*_columns(history), color=colour, linewidth=0.7, alpha=0.4)
            axes.plot(*_columns(curve.mean), color=colour, linewidth=1.8, label=curve.label)
        axes.set_xlabel("step")
        axes.set_title(metric)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(file, dpi=150)


def _page(panels: Mapping[str, Sequence[Curve]], file: Path) -> None:
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=list(panels))
    for column, curves in enumerate(panels.values(), 1):
        for index, curve in enumerate(curves):
            colour = COLOURS[index % len(COLOURS)]

            def draw(history: History, *, name: str = curve.label, **options: Any) -> Any:
                x, y = _columns(history)
                return Scatter(x=x, y=y, mode="lines", name=name, legendgroup=name, **options)

            if len(curve.runs) > 1:
                thin = {"color": colour, "width": 1}
                for history in curve.runs:
                    figure.add_trace(
                        draw(history, line=thin, opacity=0.4, showlegend=False), row=1, col=column
                    )
            thick = {"color": colour, "width": 3}
            figure.add_trace(
                draw(curve.mean, line=thick, showlegend=column == 1), row=1, col=column
            )
        figure.update_xaxes(title_text="step", row=1, col=column)
    figure.update_layout(template="plotly_white")
    figure.write_html(file, include_plotlyjs=True)  # one file that needs no network


def _columns(history: History) -> tuple[list[int], list[float]]:
    return [step for step, _ in history], [value for _, value in history]


def _label(value: float, chars: int, delta: float, left: bool = False) -> str:
    text = f"{value:.4g}"
    return text.ljust(chars) if left else text.rjust(chars)


def _round_up(least: float) -> float:
    """The smallest round number that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * n for n in ROUND if power * n >= least * (1 - 1e-9))
