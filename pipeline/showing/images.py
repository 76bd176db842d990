"""What a model gives back of its inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.analysis import accounts
from pipeline.analysis.accounts import Account
from pipeline.analysis.classification import csv_of
from pipeline.assembly import Assembly
from pipeline.showing.predictions import first, outputs, predicted, title

WORST = 24  # that are listed
PAIRS = 16  # images that are shown with their reconstruction; half of them are the worst


def show_reconstructions(parts: Assembly, folder: Path, role: str) -> Account:
    """The worst reconstructions, and of images some; see ``show``."""
    from pipeline.analysis.pictures import is_drawable
    from pipeline.analysis.reconstructions import pairs_picture

    originals, made = predicted(parts, first(parts, role))
    made = made.reshape(originals.shape)
    axes = tuple(range(1, originals.ndim))
    errors = np.sqrt(np.square(made.astype(np.float64) - originals).mean(axes))
    worst = np.argsort(-errors, kind="stable")[:WORST]
    rows = ([int(i), f"{errors[i]:.6g}"] for i in worst)
    (folder / "worst.csv").write_text(csv_of(["example", "rmse"], rows), "utf-8")
    are_images = is_drawable(originals.shape[1:])
    if are_images:
        shown = np.concatenate([np.arange(min(PAIRS // 2, len(errors))), worst[: PAIRS // 2]])
        captions = [f"{i}: rmse {errors[i]:.3g}" for i in shown]
        caption = (
            f"{title(parts, role, len(errors))}: originals, and what the model makes of them; "
            "then the worst"
        )
        picture = pairs_picture(originals[shown], made[shown], captions, caption)
        picture.save(folder / "reconstructions.png")
    return accounts.of_reconstructions(parts.source.name, outputs(parts), are_images)
