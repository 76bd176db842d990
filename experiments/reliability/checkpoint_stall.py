"""How long saving holds training up, for a model of a given size.

    python experiments/reliability/checkpoint_stall.py --megabytes 100

Blocks of steps with one checkpoint each and blocks without take turns in one process, with a run
in MLflow as in training. Prints the seconds that a save blocks, and what part of training that is
at one checkpoint every so many seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from omegaconf import OmegaConf
from rich.progress import track

from pipeline import tracking
from pipeline.console import Console
from pipeline.quiet import load_tensorflow
from pipeline.train import compose

LIMIT = 0.05
INTERVALS = (10, 30, 60, 300)  # seconds of training between two checkpoints


def main() -> int:
    asked = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        config = compose(
            "train",
            [
                "+experiment=digits",
                f"tracking.root={scratch}/mlruns",
                "tracking.system_metrics=false",
                "trainer.average=null",
            ],
        )
        OmegaConf.set_struct(config, False)
        # 64 -> 4096 -> n -> 10; the weights take asked.megabytes, Adam's slots twice as much more.
        width = int(asked.megabytes * 1e6 / 4 - 64 * 4096) // (4096 + 11)
        dense = {"_target_": "layers.Dense", "activation": "relu"}
        layers = config.model.layers
        config.model.layers = {
            "flatten": layers.flatten,
            "first": {**dense, "units": 4096},
            "second": {**dense, "units": width},
            "logits": layers.logits,
        }
        load_tensorflow()
        from pipeline.assembly import assemble, flat
        from pipeline.recording import Recorder

        parts = assemble(config)
        tracker = tracking.start(config.tracking, params=flat(config))
        recorder, trainer = Recorder(tracker, parts, Console()), parts.trainer
        parts.trainer.warm_up()
        progress = recorder.begin().state()
        trainer.train(1)
        plain, saving, blocked = [], [], []
        for _ in track(range(asked.rounds), "rounds"):
            begun = time.perf_counter()
            trainer.train(asked.steps)
            plain.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            recorder.save(trainer.current_step, {}, progress, best=False)
            blocked.append(time.perf_counter() - begun)
            trainer.train(asked.steps)  # while the copy is sent to MLflow
            saving.append(time.perf_counter() - begun)
        (folder,) = [recorder.checkpoints.on_disk.path(trainer.current_step - asked.steps)]
        size = sum(file.stat().st_size for file in folder.iterdir())
        weights = sum(v.numpy().nbytes for v in parts.model.variables)
        tracker.finish("FINISHED")

    step = statistics.median(plain) / asked.steps
    held = statistics.median(blocked)
    extra = statistics.median(s - p for s, p in zip(saving, plain, strict=True))
    print(f"weights {weights / 1e6:.0f} MB, checkpoint {size / 1e6:.0f} MB, {step:.3f} s a step")
    print(f"a save blocks for {held:.2f} s (median of {asked.rounds})")
    print(f"and costs {extra:.2f} s in all, with what slows training down while it is sent")
    for seconds in INTERVALS:
        print(f"  one every {seconds:>3} s of training: {extra / seconds:6.1%}")
    print(f"at most {LIMIT:.0%} with one checkpoint every {extra / LIMIT:.0f} s or more")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=100, help="of the weights (100)")
    parser.add_argument("--steps", type=int, default=10, help="in a block (10)")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of each kind (7)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
