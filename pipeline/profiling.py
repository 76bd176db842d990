"""``+debug=profile``: where the time of a run goes, as a table, and TensorFlow's own profile."""

from __future__ import annotations

from pathlib import Path

from pipeline.assembly import Assembly
from pipeline.console import Console
from pipeline.tracking.tracker import AnyTracker
from pipeline.training.profile import profile
from pipeline.training.spent import Spent

FOLDER = "profile"  # of the run's artifacts
MEANING = {
    "input": "gather a batch, preprocess it",
    "forward": "the model, loss and metrics",
    "backward": "gradients",
    "reduce": "sum over replicas, norm, clip",
    "update": "optimizer, average of the weights",
    "graph": "the rest of the calls into the graph",
    "waiting": "for data that is streamed",
    "evaluation": "validation",
    "tracking": "points to the journal",
    "checkpoint": "copy the state; it is written meanwhile",
    "other": "the rest of the loop",
}


class Profiling:
    """Profiles some steps, and tells at the end of the run what they are of the whole."""

    def __init__(self, tracker: AnyTracker, parts: Assembly, console: Console) -> None:
        self.tracker = tracker
        self.parts = parts
        self.console = console
        self._graph: dict[str, float] = {}

    def take(self) -> None:
        """Profile as many steps as ``trainer.profile`` says, and leave the state as it was."""
        steps = self.parts.config.trainer.profile
        if not steps:
            return
        folder = self.tracker.folder / FOLDER
        self._graph = profile(self.parts.trainer, steps, folder)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            to = Path(FOLDER) / file.relative_to(folder).parent
            self.tracker.file(file, to.as_posix())
        self.console.line(f"profiled {steps} steps, and went back to where they began")

    def tell(self, spent: Spent) -> None:
        """The table, on screen and with the run; its numbers as metrics too."""
        if not self._graph:
            return
        shares = self._shares(spent.shares())
        step = self.parts.trainer.current_step
        self.tracker.log({f"speed/profile/{name}": share for name, share in shares.items()}, step)
        rows = [(name, f"{share:.1%}", MEANING[name]) for name, share in shares.items()]
        self.console.table("where the time went", ("part", "share", ""), rows)
        lines = [f"{name:<11}{share:>7}  {meaning}" for name, share, meaning in rows]
        self.tracker.text("\n".join(lines) + "\n", f"{FOLDER}/shares.txt")

    def _shares(self, shares: dict[str, float]) -> dict[str, float]:
        """Of the whole, in the order of ``MEANING``: the calls into the graph are taken apart."""
        training = shares.pop("training")
        within = {name: share * training for name, share in self._graph.items()}
        within["graph"] = within.pop("other")
        return {name: {**within, **shares}[name] for name in MEANING}
