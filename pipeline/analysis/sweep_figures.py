"""Figures of a sweep: each trial as a line through its settings, and which setting matters.

Each as PNG for a page, and as HTML to look into, which needs no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

REPEATS = 20  # shuffles of one setting


def write(
    folder: Path, rows: Sequence[Mapping[str, Any]], keys: Sequence[str], objectives: dict[str, str]
) -> None:
    """Write ``parallel.*``, ``importance.*`` and, with several objectives, ``pareto.*``.

    Args:
        rows: the trials, with a value for each of ``keys`` and a number or ``None`` for each
            objective. Where fewer than two have the main objective, nothing is written.
    """
    metric = next(iter(objectives))
    rows = [row for row in rows if row[metric] is not None and np.isfinite(row[metric])]
    if len(rows) < 2 or not keys:
        return
    _parallel(folder, rows, keys, metric)
    matters = importance(rows, keys, metric)
    _bars(folder, matters, metric)
    if len(objectives) > 1:
        _scatter(folder, rows, *list(objectives)[:2])


def importance(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], metric: str
) -> dict[str, float]:
    """How much worse a forest of regression trees explains ``metric`` when one setting is shuffled.

    Permutation importance (Breiman, "Random Forests", 2001), on the trials it was fitted to,
    scaled to add up to 1; all 0 where nothing matters.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    x = np.stack([_axis(rows, key)[0] for key in keys], axis=1)
    y = np.array([row[metric] for row in rows])
    forest = RandomForestRegressor(n_estimators=100, random_state=0).fit(x, y)
    found = permutation_importance(forest, x, y, n_repeats=REPEATS, random_state=0)
    raw = np.maximum(found.importances_mean, 0)
    return dict(zip(keys, (raw / max(raw.sum(), 1e-12)).tolist(), strict=True))


def _axis(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, list[str] | None]:
    """Where each trial stands on a setting's axis: its number, or the place of its word."""
    texts = [str(row[key]) for row in rows]
    try:
        return np.array([float(text) for text in texts]), None
    except ValueError:
        words = sorted(set(texts))
        return np.array([float(words.index(text)) for text in texts]), words


def _scaled(values: np.ndarray) -> np.ndarray:
    """To 0 … 1; logarithmically where they span a hundred times and more."""
    if values.min() > 0 and values.max() / values.min() >= 100:
        values = np.log(values)
    span = float(np.ptp(values))
    return (values - values.min()) / span if span else np.full(len(values), 0.5)


def _parallel(
    folder: Path, rows: Sequence[Mapping[str, Any]], keys: Sequence[str], metric: str
) -> None:
    import plotly.graph_objects as go
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes = {key: _axis(rows, key) for key in keys}
    scores = np.array([row[metric] for row in rows])
    heights = np.stack([*(_scaled(values) for values, _ in axes.values()), _scaled(scores)], axis=1)

    figure = Figure(figsize=(1.8 * (len(keys) + 1) + 1, 4), layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.subplots()
    for height, color in sorted(zip(heights.tolist(), _scaled(scores), strict=True), key=_last):
        plot.plot(height, color=_color(color), alpha=0.8)
    for place, (values, words) in enumerate([*axes.values(), (scores, None)]):
        marks = dict(zip(heights[:, place].round(6).tolist(), values.tolist(), strict=True))
        edges = marks if words else {h: marks[h] for h in (min(marks), max(marks))}
        for height, value in edges.items():
            text = words[int(value)] if words else f"{value:.4g}"
            plot.text(place, height, f" {text}", fontsize=8, va="center")
    plot.set_xticks(range(len(keys) + 1), [*keys, metric], rotation=15, ha="right", fontsize=8)
    plot.set_yticks([])
    plot.grid(axis="x")
    for side in plot.spines.values():
        side.set_visible(False)
    figure.savefig(folder / "parallel.png", dpi=120)

    dimensions = [
        {"label": key, "values": values}
        | ({"tickvals": list(range(len(words))), "ticktext": words} if words else {})
        for key, (values, words) in axes.items()
    ]
    dimensions.append({"label": metric, "values": scores})
    line = {"color": scores, "colorscale": "Viridis", "showscale": True}
    _html(go.Figure(go.Parcoords(dimensions=dimensions, line=line)), folder / "parallel.html")


def _bars(folder: Path, matters: Mapping[str, float], metric: str) -> None:
    import plotly.graph_objects as go
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    items = sorted(matters.items(), key=lambda item: item[1])
    names, values = [name for name, _ in items], [value for _, value in items]
    figure = Figure(figsize=(6, 0.5 * len(names) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.subplots()
    bars = plot.barh(names, values)
    plot.bar_label(bars, fmt="%.2f", fontsize=8)
    plot.set_xlim(0, 1)
    plot.set_title(f"share in explaining {metric}", fontsize=9)
    figure.savefig(folder / "importance.png", dpi=120)
    _html(go.Figure(go.Bar(x=values, y=names, orientation="h")), folder / "importance.html")


def _scatter(folder: Path, rows: Sequence[Mapping[str, Any]], first: str, second: str) -> None:
    import plotly.graph_objects as go
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = [row for row in rows if row[second] is not None]
    x, y = [row[second] for row in points], [row[first] for row in points]
    figure = Figure(figsize=(5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.subplots()
    plot.scatter(x, y)
    plot.set_xlabel(second)
    plot.set_ylabel(first)
    figure.savefig(folder / "pareto.png", dpi=120)
    texts = [row["overrides"] for row in points]
    chart = go.Figure(go.Scatter(x=x, y=y, text=texts, mode="markers"))
    chart.update_layout(xaxis_title=second, yaxis_title=first)
    _html(chart, folder / "pareto.html")


def _html(figure: Any, path: Path) -> None:
    figure.write_html(path, include_plotlyjs=True)  # whole: it opens without a network


def _color(height: float) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](height)


def _last(pair: tuple[list[float], float]) -> float:
    return pair[1]
