"""What is to be reached, as ratios that were measured side by side."""

from __future__ import annotations

from dataclasses import dataclass

from blocks import Race
from contenders import GROUPS
from workloads import PRODUCT, WORKLOADS


@dataclass(frozen=True)
class Target:
    """Our speed over that of ``group`` is ``least`` or more; 0: more than 1, which is ahead."""

    workload: str
    replicas: int
    group: str
    least: float = 0.0

    def verdict(self, race: Race) -> str:
        """Asked for, measured, and whether the one is the other."""
        ratio = race.ratio(self.group, self._scale())
        if ratio is None:
            return f"{self._asked()}: not measured"
        reached = ratio.median >= self.least if self.least else ratio.median > 1.0
        text = f"{self._asked()}: {ratio.median:.2f} ({min(ratio.values):.2f} to "
        text += f"{max(ratio.values):.2f}), {'reached' if reached else 'not reached'}"
        noisy = {"ours", race.best(self.group)} & set(race.noisy)
        return text + (", but the machine was too noisy to tell" if noisy else "")

    def _asked(self) -> str:
        against = GROUPS[self.group]
        if self.group == "products":
            return f"at least {self.least:.0%} of the machine's rate of {against}"
        return f"at least {self.least:g} times {against}" if self.least else f"ahead of {against}"

    def _scale(self) -> float:
        """From steps per product to the useful share of the machine's rate."""
        if self.group != "products":
            return 1.0
        rows, inner = PRODUCT
        return WORKLOADS[self.workload].useful_operations / (2 * rows * inner * inner)


TARGETS = [
    Target("mlp", 1, "keras", 6.0),
    Target("mlp", 1, "keras_tuned", 1.4),
    Target("mlp", 1, "orbit", 2.5),
    Target("cnn", 1, "keras", 1.9),
    Target("cnn", 1, "keras_tuned"),
    Target("cnn", 1, "orbit"),
    Target("gru", 1, "keras", 5.0),
    Target("gru", 1, "orbit", 1.7),
    Target("wide", 1, "keras", 1.3),
    Target("wide", 1, "keras_tuned"),
    Target("wide", 1, "products", 0.75),
    *(Target(name, 1, "limit", 0.9) for name in WORKLOADS),
    *(Target(name, 2, "orbit") for name in WORKLOADS),
]
