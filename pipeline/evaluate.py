"""``python -m pipeline.evaluate run=<id> split=test``: repeat the numbers of a recorded run.

    python -m pipeline.evaluate run=latest split=validation
    python -m pipeline.evaluate run=<id> tracking=server tracking.uri=http://127.0.0.1:5000

Restores the best checkpoint from MLflow into the recorded config and evaluates a split (train,
validation or test) whole. Exits with 1 where a recorded metric comes out different.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pipeline import preflight, tracking
from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.console import Console
from pipeline.errors import ConfigError, did_you_mean
from pipeline.quiet import load_tensorflow
from pipeline.resuming import read_config

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one split, and what the run had recorded of them."""

    run_id: str
    step: int
    metrics: dict[str, float]
    recorded: dict[str, float]

    @property
    def differing(self) -> list[str]:
        """The recorded metrics that came out different, by even one bit."""
        return [k for k, v in self.recorded.items() if v != self.metrics[k]]


def evaluate(config: DictConfig) -> Evaluation:
    """Restore the best checkpoint of ``config.run`` and evaluate ``config.split``.

    Raises:
        UserError: no such run, no checkpoint, or a config that no longer builds.
    """
    if OmegaConf.is_missing(config, "run"):
        raise ConfigError("run: give the id of a run, run=<id>, or run=latest")
    if config.split not in SPLITS:
        raise ConfigError(f"split={config.split}: {did_you_mean(config.split, SPLITS)}")
    store = tracking.open_store(config.tracking, existing=True)
    run_id = store.latest() if config.run == "latest" else store.find(config.run)
    run = store.recorded(run_id)
    recorded = read_config(store, run_id)
    recorded.trusted_packages = config.trusted_packages  # a recorded config cannot trust itself
    preflight.check(recorded)

    load_tensorflow()
    from pipeline.assembly import assemble
    from pipeline.tracking.models import Models
    from pipeline.training.checkpoints import Checkpoints

    with tempfile.TemporaryDirectory() as scratch:
        models = Models(store, run_id)
        roles = {role for checkpoint in models.checkpoints() for role in checkpoint.roles}
        folder, step = models.fetch("best" if "best" in roles else "last", Path(scratch))
        parts = assemble(recorded)
        manifest = Checkpoints(Path(scratch) / "unused", parts.checkpointed()).restore(folder)
    metrics = parts.evaluate(config.split)
    # The checkpoint knows what validation gave at its step; the run knows of the test split.
    known = manifest.metrics | {k: v for k, v in run.metrics.items() if k.startswith("test/")}
    prefix = next(iter(metrics)).split("/")[0]
    same = {k: known[k] for k in metrics if k in known and prefix != "train"}
    return Evaluation(run_id, step, metrics, same)


def main(overrides: Sequence[str]) -> int:
    """Print every metric beside the recorded one. Returns the exit code."""
    config = compose("evaluate", overrides)
    console = Console()
    found = evaluate(config)
    console.line(f"run {found.run_id}, best checkpoint of step {found.step}, split {config.split}")
    rows = [
        (k, f"{v:.9g}", f"{found.recorded[k]:.9g}" if k in found.recorded else "not recorded")
        for k, v in found.metrics.items()
    ]
    console.table("", ("metric", "now", "recorded"), rows)
    if found.differing:
        console.line(f"different from the record: {', '.join(found.differing)}")
        return 1
    if found.recorded:
        console.line("identical to the record")
    return 0


if __name__ == "__main__":
    verb(main, __doc__)
