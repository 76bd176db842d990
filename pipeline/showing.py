"""What a model makes of a split, for people to look at: tables, pictures and text, by its task.

Of a classifier it is ``explaining.py``'s, which has what the exported model answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.analysis import multi_label, regression
from pipeline.assembly import Assembly
from pipeline.data.frame import Windows
from pipeline.training.generation import generator
from pipeline.training.tasks import LanguageModel, MultiLabel, Reconstruction, Regression

MOST = 5000  # examples of a split that are looked at, from its beginning
WORST = 24  # misses that are listed
PAIRS = 16  # images that are shown with their reconstruction
STEPS = 300  # of a forecast that are drawn
TARGETS = 6  # of several that are drawn
TEXTS, PROMPT, CONTINUED = 4, 16, 200  # texts that are written; tokens given, and tokens drawn
TEMPERATURE = 0.8


def show(parts: Assembly, folder: Path, role: str = "test") -> None:
    """Write files into ``folder``; none for a task that nothing is known of.

    - regression: ``targets.csv``, ``worst.csv`` and ``predicted.png``; of windows ``forecast.png``.
    - multi-label: ``labels.csv``.
    - reconstruction of images: ``reconstructions.png``.
    - language model: ``generated.txt``.
    """
    task = parts.task
    if isinstance(task, Regression):
        _show_numbers(parts, folder, role)
    elif isinstance(task, MultiLabel):
        _, truth, predicted = _predicted(parts, role, MOST)
        scores = multi_label.label_scores(truth, predicted, parts.data.names, task.threshold)
        (folder / "labels.csv").write_text(multi_label.scores_csv(scores), "utf-8")
    elif isinstance(task, Reconstruction):
        _show_images(parts, folder, role)
    elif isinstance(task, LanguageModel) and parts.data.decode is not None:
        (folder / "generated.txt").write_text(writer(parts, role)(0), "utf-8")


def writer(parts: Assembly, role: str = "validation") -> Callable[[int], str]:
    """A function that writes texts by the model as it is: ``f(step) -> text``.

    Each begins with some tokens of the split, which stand in brackets. A step draws anew, and the
    same step and weights draw the same. Make it once: the graph is traced at the first call.
    """
    decode, prepared = parts.data.decode, parts.prepared
    assert decode is not None
    found = _first(parts, role, MOST).inputs
    given = min(PROMPT, found.shape[1])
    at = np.linspace(0, len(found) - 1, min(TEXTS, len(found))).astype(int)
    prompts = found[at, :given]

    def logits_of(tokens: tf.Tensor) -> tf.Tensor:
        return parts.model(prepared.preprocessing.device(tokens), training=False)

    draw = generator(
        logits_of,
        context=found.shape[1],
        length=CONTINUED,
        temperature=TEMPERATURE,
        padding=parts.data.padding,
    )

    def write(step: int) -> str:
        with parts.trainer.evaluated_weights():
            tokens = draw(prompts, [parts.config.seed, step]).numpy()
        texts = zip(decode(tokens[:, :given]), decode(tokens[:, given:]), strict=True)
        return "\n\n".join(f"[{prompt}]{text}" for prompt, text in texts) + "\n"

    return write


def _show_numbers(parts: Assembly, folder: Path, role: str) -> None:
    from pipeline.analysis.plots import lines_picture, scatter_picture

    inputs, truth, predicted = _predicted(parts, role, MOST)
    predicted = predicted.reshape(truth.shape)
    names, title = parts.data.names, _title(parts, role, len(truth))
    scores = regression.target_scores(truth, predicted, names)
    missed = regression.misses(truth, predicted, WORST, names)
    (folder / "targets.csv").write_text(regression.scores_csv(scores), "utf-8")
    (folder / "worst.csv").write_text(regression.misses_csv(missed), "utf-8")
    shown = [score.name for score in scores[:TARGETS]]
    across, up = (x.reshape(-1, x.shape[-1])[:, :TARGETS] for x in (truth, predicted))
    scatter_picture(across, up, shown, title).save(folder / "predicted.png")
    frame = parts.prepared.frame
    if truth.ndim < 3 or not isinstance(frame, Windows):
        return
    lines = {"truth": truth, "model": predicted}
    if isinstance(inputs, np.ndarray) and inputs.shape == truth.shape:
        # What is known when it is predicted.
        lines["last known" if frame.horizon == 1 else f"{frame.horizon} steps before"] = inputs
    last = {name: regression.series(line, frame.stride)[-STEPS:] for name, line in lines.items()}
    panels = {
        target: {name: line[:, i] for name, line in last.items()} for i, target in enumerate(shown)
    }
    lines_picture(panels, f"{title}, the last steps").save(folder / "forecast.png")


def _show_images(parts: Assembly, folder: Path, role: str) -> None:
    from pipeline.analysis.pictures import is_drawable
    from pipeline.analysis.reconstructions import pairs_picture

    _, originals, made = _predicted(parts, role, PAIRS)
    if not is_drawable(originals.shape[1:]):
        return
    errors = np.sqrt(np.square(made - originals).mean((1, 2, 3)))
    captions = [f"{i}: rmse {error:.3g}" for i, error in enumerate(errors)]
    title = f"{_title(parts, role, len(originals))}: originals, and what the model makes of them"
    pairs_picture(originals, made, captions, title).save(folder / "reconstructions.png")


def _predicted(parts: Assembly, role: str, most: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """Inputs as they are held, targets, and what is predicted, of the first ``most`` examples."""
    prepared, found = parts.prepared, _first(parts, role, most)

    @tf.function(autograph=False, reduce_retracing=True)
    def answer(inputs: Any) -> tuple[Any, tf.Tensor]:
        x = prepared.preprocessing.device(inputs)
        return x, parts.task.predict(parts.model(x, training=False))

    size, done = parts.config.trainer.evaluation_batch_size, []
    with parts.trainer.evaluated_weights():
        for first in range(0, len(found), size):
            batch = tf.nest.map_structure(
                lambda held, at=first: tf.constant(held[at : at + size]), found.inputs
            )
            x, answers = answer(batch)
            targets = x if found.targets is None else found.targets[first : first + size]
            done.append((np.asarray(targets), answers.numpy()))
    truth, predicted = (np.concatenate(column) for column in zip(*done, strict=True))
    return found.inputs, truth, predicted


def _first(parts: Assembly, role: str, most: int) -> Any:
    """The first ``most`` examples of a split."""
    return next(parts.prepared.parts(role, most))


def _title(parts: Assembly, role: str, shown: int) -> str:
    source = parts.source
    return f"{source.name}, {getattr(source.config.splits, role)}: {shown:,} examples"
