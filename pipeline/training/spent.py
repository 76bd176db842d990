"""Where the time of a run goes, and how fast it is with all of that."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Spent:
    """Seconds since training began in this process, by what they were spent on.

    Compiling comes before. ``evaluation`` happens within calls into the graph: it is counted as so
    many times what one took by itself.
    """

    def __init__(self) -> None:
        self._begun = self._told = time.perf_counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._steps = 0

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """What is inside counts as time spent on ``name``."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begun

    def on_call(self, steps: int, seconds: float, evaluating: float, waiting: float = 0.0) -> None:
        """A call into the graph has taken so many steps. Of its seconds it was ``evaluating`` some,
        and ``waiting`` for data."""
        seconds = max(0.0, seconds - waiting)
        evaluating = min(evaluating, seconds)
        self._steps += steps
        self._seconds["waiting"] += waiting
        self._seconds["evaluation"] += evaluating
        self._seconds["training"] += seconds - evaluating

    def due(self, every: float) -> bool:
        """Whether ``every`` seconds have gone since this was last so."""
        now = time.perf_counter()
        if now < self._told + every:
            return False
        self._told = now
        return True

    def shares(self) -> dict[str, float]:
        """Of the time since training began; they add up to 1."""
        elapsed = time.perf_counter() - self._begun
        names = ["training", "waiting", "evaluation", "tracking", "checkpoint"]
        names += [name for name in self._seconds if name not in names]
        found = {name: self._seconds[name] / elapsed for name in names}
        return found | {"other": 1.0 - sum(found.values())}

    def metrics(self, batch_size: int) -> dict[str, float]:
        """Speed, with everything that the run does, and the shares of its time."""
        rate = self._steps / (time.perf_counter() - self._begun)
        return {
            "speed/steps_per_second": rate,
            "speed/examples_per_second": rate * batch_size,
            "speed/step_ms": 1000.0 / rate,
            **{f"speed/share/{name}": share for name, share in self.shares().items()},
        }
