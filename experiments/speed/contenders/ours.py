"""The project as a user runs it: tracked, evaluated every epoch, with checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workloads import Workload

from contenders.base import Continuous
from pipeline import tracking
from pipeline.assembly import assemble, flat
from pipeline.console import Console
from pipeline.recording import Recorder, describe
from pipeline.train import compose
from pipeline.training import loop

ENDLESS = 1 << 40  # steps


class Ours(Continuous):
    """A run of ``+experiment=speed_…``, one unit of which is a call into the graph."""

    def __init__(self, workload: Workload, replicas: int, folder: Path) -> None:
        super().__init__(workload, replicas, folder)
        overrides = [
            f"+experiment={workload.experiment}",
            f"tracking.root={folder / 'mlruns'}",
            f"strategy.replicas={replicas}",
        ]
        config = compose("train", overrides)
        self.parts = parts = assemble(config)
        self.parameters = sum(v.shape.num_elements() for v in parts.model.trainable_variables)
        self.tracker = tracking.start(config.tracking, params=flat(config))
        describe(self.tracker, parts, config, overrides)
        self.recorder = Recorder(self.tracker, parts, Console())
        parts.adapt()
        self.progress = self.recorder.begin()
        self.compilation = parts.trainer.warm_up()

    def run(self) -> None:
        parts = self.parts
        loop.run(
            parts.trainer,
            replace(parts.plan, total=ENDLESS),
            self.progress,
            self,
            lambda: self.ending,
        )

    # What the loop records ----------------------------------------------------------------------

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.loss = metrics.get("val/loss", self.loss)
        self.recorder.log(metrics, step)

    def save(self, *arguments: Any, **options: bool) -> None:
        self.recorder.save(*arguments, **options)

    def show(self, step: int, metrics: dict[str, float]) -> None:
        """A call has ended, which is a unit."""
        self.recorder.show(step, metrics)
        self.passed()

    def steps(self) -> int:
        return int(self.parts.trainer.current_step)

    def end(self) -> None:
        super().end()
        self.recorder.checkpoints.tell_unsaved()
        self.recorder.checkpoints.close(wait=False)
        self.tracker.finish("FINISHED")
