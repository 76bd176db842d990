"""Whether bfloat16 trains faster than float32 here: both in turn, in one process.

python experiments/speed/precision.py
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from workloads import WORKLOADS  # noqa: E402

from pipeline.quiet import load_tensorflow  # noqa: E402

PRECISIONS = ("float32", "bfloat16")
SECONDS = 1.0  # of a block
ROUNDS = 5


def main() -> None:
    load_tensorflow()
    from pipeline.assembly import assemble
    from pipeline.train import compose

    print("| workload | float32, steps/s | bfloat16, steps/s | times as fast |")
    print("| --- | ---: | ---: | ---: |")
    for workload in WORKLOADS.values():
        trainers = {}
        for precision in PRECISIONS:
            overrides = [
                f"+experiment={workload.experiment}",
                f"trainer.precision={precision}",
                "trainer.evaluate_every=1000000 steps",
            ]
            trainers[precision] = assemble(compose("train", overrides)).trainer
            trainers[precision].warm_up()
        begun = time.perf_counter()
        trainers["float32"].train(10)
        steps = max(1, min(1000, int(10 * SECONDS / (time.perf_counter() - begun))))
        rates: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        for _ in range(ROUNDS):
            for precision, trainer in trainers.items():
                begun = time.perf_counter()
                trainer.train(steps)
                rates[precision].append(steps / (time.perf_counter() - begun))
        wide, narrow = (statistics.median(rates[p]) for p in PRECISIONS)
        ratio = statistics.median(
            b / a for a, b in zip(rates["float32"], rates["bfloat16"], strict=True)
        )
        print(f"| {workload.title} | {wide:,.0f} | {narrow:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
