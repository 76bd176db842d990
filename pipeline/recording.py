"""Joins the outer loop to the tracker, the checkpoints on disk and the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig, OmegaConf

from layers import Layer, summarize
from pipeline.assembly import Assembly
from pipeline.console import Console
from pipeline.data.buckets import Bucketed
from pipeline.data.examples import in_batches
from pipeline.data.serving import served
from pipeline.errors import StoreError
from pipeline.resuming import CONFIG_FILE
from pipeline.run_checkpoints import RunCheckpoints
from pipeline.strategy import device_names
from pipeline.tracking.surroundings import here
from pipeline.tracking.tracker import AnyTracker, Tracker
from pipeline.training.checkpoints import cause, weights_digest
from pipeline.training.progress import Progress
from pipeline.training.servable import answers, servable
from pipeline.training.warm_start import Loaded

SERVING_PACKAGES = ("tensorflow", "numpy", "mlflow")


class Recorder:
    """Keeps what the loop hands over: points, checkpoints, progress on screen."""

    def __init__(self, tracker: AnyTracker, parts: Assembly, console: Console) -> None:
        self.tracker = tracker
        self.parts = parts
        self.console = console
        self.checkpoints = RunCheckpoints(tracker, parts, console)
        self.save = self.checkpoints.save
        self._score = shown_score(parts.plan.metric, list(parts.task.metrics))

    # What the loop calls -----------------------------------------------------------------------

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep points of the metric history."""
        if metrics:
            self.tracker.log(metrics, step)

    def show(self, step: int, metrics: dict[str, float]) -> None:
        """Tell a person how it goes."""
        plan = self.parts.plan
        self.console.progress(step, plan.total, plan.batch_size, metrics, self._score)

    # Before and after the loop -----------------------------------------------------------------

    def begin(self) -> Progress:
        """A new run: its initial state is a checkpoint too, so that a run always has one."""
        progress = Progress()
        self.checkpoints.begin(progress)
        return progress

    def tell_warm_start(self, loaded: Loaded) -> None:
        """Say what was loaded from another run and what was not; keep it with the run."""
        lines = loaded.lines()
        self.tracker.text("\n".join(lines) + "\n", "warm_start.txt")
        self.tracker.tags({"init_from": loaded.source})
        for line in lines:
            self.console.line(f"warm start: {line}")

    def test(self) -> dict[str, float]:
        """Evaluate the model on the test split."""
        results = self.parts.evaluate("test")
        self.log(results, self.parts.trainer.current_step)
        return results

    def tell_left_out(self) -> None:
        """Say and keep which examples could not be used, if any; see ``dataset.on_error``."""
        found = self.parts.source.left_out
        if not found:
            return
        told = {role: str(left_out) for role, left_out in found.items()}
        self.console.line("left out: " + ", ".join(f"{role} {told[role]}" for role in told))
        self.tracker.tags({f"data/skipped/{role}": text for role, text in told.items()})
        count = sum(left_out.count for left_out in found.values())
        self.log({"data/skipped": float(count)}, self.parts.trainer.current_step)

    def tag_digest(self, name: str) -> None:
        """Tag the run with the SHA-256 of the weights as they are evaluated."""
        with self.parts.trainer.evaluated_weights():
            self.tracker.tags({name: weights_digest(self.parts.model.named_variables())})

    def export(self, metrics: dict[str, float]) -> np.ndarray | None:
        """Publish the model with its signature and an input example.

        Returns:
            What it answers to each example of the test split; None where no run is kept, or where
            an example has no answer of its own.
        """
        parts = self.parts
        if not isinstance(self.tracker, Tracker):
            return None
        raw, outputs = served(parts.prepared), None
        with parts.trainer.evaluated_weights():
            module = servable(parts.model, raw.preprocess, parts.task, raw.spec)
            if raw.each:
                inputs, batch = parts.source.split("test").inputs, parts.config.trainer
                outputs = answers(module, in_batches(inputs, batch.evaluation_batch_size))
            try:
                self.tracker.model(
                    module,
                    "model",
                    raw.example,
                    answers(module, [raw.example]),
                    requirements(),
                    parts.trainer.current_step,
                    metrics,
                )
            except (OSError, tf.errors.OpError) as error:  # the disk is full, for one
                raise StoreError(
                    f"the trained model cannot be written to {self.tracker.folder}: "
                    f"{cause(error)}. Its checkpoints stay: make room, and "
                    f"resume={self.tracker.run_id} exports it."
                ) from error
        return outputs


def shown_score(objective: str, metrics: Sequence[str]) -> str:
    """The metric that is shown beside the loss: the objective, or the first that is no loss."""
    name = objective.rpartition("/")[2]
    return name if name != "loss" else [*metrics[1:], "loss"][0]


def describe(
    tracker: AnyTracker, parts: Assembly, config: DictConfig, overrides: Sequence[str]
) -> None:
    """Everything about a run that is known before it trains: config, data, code, machine."""
    tracker.text(OmegaConf.to_yaml(config, resolve=True), CONFIG_FILE)
    tracker.text("\n".join(overrides) + "\n", "overrides.txt")
    around = here(device_names(parts.strategy))
    tracker.tags(around.tags() | {"deterministic": str(config.trainer.deterministic).lower()})
    for name, text in around.files().items():
        tracker.text(text, name)
    prepared = parts.prepared
    for role in ("train", "validation", "test"):
        context = "training" if role == "train" else role
        digests, sizes = prepared.digests_of_sets(role), prepared.sizes_of_sets(role)
        for name, one in parts.source.sets(role).items():
            tracker.dataset(
                one.name,
                digests[name],
                {"version": one.version, "split": one.named(role), "examples": str(sizes[name])},
                f"{context}/{name}" if name else context,
            )
        if len(digests) > 1:  # the tag is of all sets together
            tracker.tags({f"digest/{context}": prepared.digest(role)})
    tracker.tags({"dataset.digest": prepared.digests()})
    if cut := buckets(parts):
        tracker.tags({"buckets": cut})


def announce(console: Console, parts: Assembly, run_id: str, overrides: Sequence[str]) -> None:
    """Say what will be done, before it is."""
    plan, source = parts.plan, parts.source
    sizes = ", ".join(f"{role} {size:,}" for role, size in source.sizes.items())
    step = parts.trainer.current_step
    console.facts(
        {
            "run": run_id + (f" (goes on at step {step})" if step else ""),
            "asked": " ".join(overrides) or "the defaults",
            "dataset": f"{source.name} {source.version}: {sizes}; {source.told()}, "
            f"{parts.task.wanted(parts.data)}",
            **({"mix": mix} if (mix := parts.prepared.told_mix()) else {}),
            "feed": _feeds(parts),
            **({"buckets": cut} if (cut := buckets(parts)) else {}),
            "devices": f"{parts.strategy.num_replicas_in_sync} replica(s) on "
            + ", ".join(device_names(parts.strategy)),
            "training": f"{plan.total:,} steps of {plan.batch_size} examples, "
            f"{plan.total / plan.steps_per_epoch:g} epochs of {plan.steps_per_epoch} steps; "
            f"best by {'highest' if plan.maximise else 'lowest'} {plan.metric}",
        }
    )
    if not parts.config.trainer.deterministic:
        console.line(
            "trainer.deterministic=false: operations need not be bit-reproducible; another run of "
            "this config may come out different by rounding"
        )
    columns, rows, total = architecture(parts.model)
    console.table("", columns, rows)
    console.line(total)


def _feeds(parts: Assembly) -> str:
    """Which splits are in memory and which are not, and why."""
    source, said = parts.source, []
    for streamed in (False, True):
        roles = [role for role in source.sizes if source.is_streamed(role) is streamed]
        sizes = ", ".join(f"{role} {source.megabytes(role):,.1f} MiB" for role in roles)
        if roles:
            said.append(f"{'streamed' if streamed else 'resident'}: {sizes}")
    most = f"auto: at most {source.config.memory:,g} MiB"
    return f"{'; '.join(said)} ({most if source.config.feed == 'auto' else 'asked for'})"


def buckets(parts: Assembly) -> str:
    """To which lengths batches of training are cut, and what is saved by it; nothing: uncut."""
    order = parts.trainer.feed.order
    if not isinstance(order, Bucketed):
        return ""
    shares = ", ".join(f"{length}: {share:.0%}" for length, share in order.shares().items())
    whole = order.size // order.batch * order.batch * parts.prepared.model_inputs.shape[1]
    computed = order.computed(parts.config.seed) / whole
    return f"examples by length, {shares}; {computed:.0%} of the steps uncut batches would have"


def architecture(model: Layer) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
    """A table of the model's layers, as columns and rows, and a line about all of them."""
    found = summarize(model)
    columns = ("layer", "type", "output", "parameters", "trainable", "dtype", "multiply-adds")
    rows: list[tuple[str, ...]] = [
        (
            r.path or "model",
            r.type,
            _shape(r.output_shape),
            f"{r.parameters:,}",
            f"{r.trainable:,}",
            r.dtype,
            "?" if r.multiply_adds is None else f"{r.multiply_adds:,}",
        )
        for r in found
    ]
    costs = [r.multiply_adds for r in found]
    total = "an unknown number of" if None in costs else f"{sum(c or 0 for c in costs):,}"
    return (
        columns,
        rows,
        f"{sum(r.parameters for r in found):,} parameters in all, "
        f"{sum(r.trainable for r in found):,} of them trained; "
        f"{total} multiply-adds an example",
    )


def requirements() -> list[str]:
    """What serving the model needs, at the versions that made it."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in SERVING_PACKAGES]


def _shape(shape: tuple[Any, ...]) -> str:
    return "[" + ", ".join("batch" if size is None else str(size) for size in shape) + "]"
