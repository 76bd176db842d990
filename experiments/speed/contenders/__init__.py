"""Who takes part: each trains one workload in blocks of steps, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A contender: where its class is, and how it is made.

    ``group``: contenders of one group are variants of one thing, of which the fastest counts.
    """

    group: str
    title: str
    module: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)


ENTRIES = {
    "ours": Entry("ours", "ours", "ours", "Ours"),
    "keras": Entry("keras", "Keras fit", "keras_fit", "KerasFit"),
    "keras_tuned_xla": Entry(
        "keras_tuned", "Keras tuned, XLA", "keras_fit", "KerasTuned", {"compiled": True}
    ),
    "keras_tuned_graph": Entry(
        "keras_tuned", "Keras tuned, graph", "keras_fit", "KerasTuned", {"compiled": False}
    ),
    "orbit": Entry("orbit", "Orbit", "orbit_trainer", "OrbitTrainer"),
    "tutorial": Entry("tutorial", "tutorial loop", "tutorial", "Tutorial"),
    "limit_xla": Entry("limit", "limit, XLA", "limit", "Limit", {"compiled": True}),
    "limit_graph": Entry("limit", "limit, graph", "limit", "Limit", {"compiled": False}),
    "products": Entry("products", "matrix products", "products", "Products"),
}

GROUPS = {
    "ours": "ours",
    "keras": "Keras fit",
    "keras_tuned": "Keras tuned",
    "orbit": "Orbit",
    "tutorial": "tutorial loop",
    "limit": "fused-loop limit",
    "products": "matrix products",
}


def taking_part(workload: str, replicas: int) -> list[str]:
    """Names of the contenders of a workload.

    The limit is written for one replica, the rate of matrix products is asked of the workload that
    consists of them, and XLA takes ten times as long for the convolutions of a loop on CPU.
    """
    names = list(ENTRIES)
    if replicas > 1:
        names = [name for name in names if ENTRIES[name].group not in ("limit", "products")]
    elif workload != "wide":
        names.remove("products")
    if workload == "cnn" and "limit_xla" in names:
        names.remove("limit_xla")
    return names
