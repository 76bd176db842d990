"""How much faster BatchNorm trains as one operation than by its steps: in turn, in one process.

python experiments/speed/batch_norm.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

from pipeline.quiet import load_tensorflow  # noqa: E402

# Those of fashion_resnet, batch 128; the first is what it would have with the pool after the norm.
SHAPES = ([128, 28, 28, 48], [128, 14, 14, 48], [128, 7, 7, 96], [128, 4, 4, 192])
SECONDS = 0.5  # of a block
ROUNDS = 7


def main() -> None:
    load_tensorflow()
    import tensorflow as tf

    import layers

    class StepByStep(layers.BatchNorm):
        def _fusible(self, x: tf.Tensor) -> bool:
            return False

    def step_of(layer: layers.Layer, shape: list[int], compiled: bool) -> Callable[[], object]:
        layers.build(layer, tf.TensorSpec(shape))
        x, dy = tf.random.normal(shape), tf.random.normal(shape)

        @tf.function(jit_compile=compiled)
        def step(x: tf.Tensor, dy: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
            return tape.gradient(y, [x, *layer.trainable_variables], dy)

        return lambda: step(x, dy)

    print("| input | compiled | step by step, ms | one operation, ms | times as fast |")
    print("| --- | --- | ---: | ---: | ---: |")
    for shape in SHAPES:
        for compiled in (False, True):
            steps = {
                kind: step_of(kind(), shape, compiled) for kind in (StepByStep, layers.BatchNorm)
            }
            seconds: dict[type, list[float]] = {kind: [] for kind in steps}
            for step in steps.values():
                step()
            for _ in range(ROUNDS):
                for kind, step in steps.items():
                    seconds[kind].append(_seconds(step))
            slow, fast = (1e3 * statistics.median(times) for times in seconds.values())
            ratio = statistics.median(a / b for a, b in zip(*seconds.values(), strict=True))
            words = "×".join(map(str, shape)), "XLA" if compiled else "no"
            print(f"| {' | '.join(words)} | {slow:.2f} | {fast:.2f} | {ratio:.1f} |")


def _seconds(step: Callable[[], object]) -> float:
    """Of one step, the mean over a block."""
    count, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < SECONDS:
        step()
        count += 1
    return spent / count


if __name__ == "__main__":
    main()
