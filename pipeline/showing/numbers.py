"""How far a model's numbers are from the true ones, and its forecasts beside the series."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.analysis import accounts, regression
from pipeline.analysis.accounts import Account
from pipeline.assembly import Assembly
from pipeline.data.frame import Windows
from pipeline.showing.predictions import first, looked_at, outputs, predicted, title

WORST = 24  # misses that are listed
STEPS = 300  # of a forecast that are drawn
TARGETS = 6  # of several that are drawn


def show_numbers(parts: Assembly, folder: Path, role: str) -> Account:
    """Tables and pictures of a regression; see ``show``."""
    from pipeline.analysis.plots import scatter_picture

    found = first(parts, role)
    truth, answers = predicted(parts, found)
    answers = answers.reshape(truth.shape)
    names, caption = parts.data.names, title(parts, role, len(truth))
    scores = regression.target_scores(truth, answers, names)
    missed = regression.misses(truth, answers, WORST, names)
    (folder / "targets.csv").write_text(regression.scores_csv(scores), "utf-8")
    (folder / "worst.csv").write_text(regression.misses_csv(missed), "utf-8")
    shown = [score.name for score in scores[:TARGETS]]
    across, up = (x.reshape(-1, x.shape[-1])[:, :TARGETS] for x in (truth, answers))
    scatter_picture(across, up, shown, caption).save(folder / "predicted.png")
    frame, ahead = parts.prepared.frame, 0
    if truth.ndim == 3 and isinstance(frame, Windows):
        _draw_forecast(frame, folder, found.inputs, truth, answers, shown, caption)
        ahead = frame.horizon
    where = looked_at(parts, role, len(truth))
    return accounts.of_targets(parts.source.name, outputs(parts), scores, ahead, where)


def _draw_forecast(
    frame: Windows,
    folder: Path,
    inputs: object,
    truth: np.ndarray,
    answers: np.ndarray,
    shown: list[str],
    caption: str,
) -> None:
    from pipeline.analysis.plots import lines_picture

    lines = {"truth": truth, "model": answers}
    if isinstance(inputs, np.ndarray) and inputs.shape == truth.shape:
        # What is known when it is predicted.
        lines["last known" if frame.horizon == 1 else f"{frame.horizon} steps before"] = inputs
    last = {name: regression.series(line, frame.stride)[-STEPS:] for name, line in lines.items()}
    panels = {
        target: {name: line[:, i] for name, line in last.items()} for i, target in enumerate(shown)
    }
    lines_picture(panels, f"{caption}, the last steps").save(folder / "forecast.png")
