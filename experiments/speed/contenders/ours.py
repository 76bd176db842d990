"""The project as a user runs it: tracked, evaluated every epoch, with checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
    """A run of ``+experiment=speed_…``, one unit of which is an epoch."""

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
        self.compilation = self.recorder.warm_up()

    def run(self) -> None:
        parts = self.parts
        loop.run(
            parts.trainer,
            replace(parts.plan, total=ENDLESS),
            self.progress,
            self._evaluate,
            self.recorder,
            lambda: self.ending,
        )

    def steps(self) -> int:
        return int(self.parts.trainer.current_step)

    def _evaluate(self) -> dict[str, float]:
        results = self.parts.evaluate("val")
        self.loss = results["val/loss"]
        self.passed()
        return results

    def end(self) -> None:
        super().end()
        self.recorder.checkpoints.tell_unsaved()
        self.recorder.checkpoints.close(wait=False)
        self.tracker.finish("FINISHED")
