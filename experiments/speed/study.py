"""How fast the project trains beside its peers, and beside a loop written by hand.

    python experiments/speed/study.py
    python experiments/speed/study.py --workload mlp --replicas 1 --only ours keras limit

Every contender trains in a process of its own; they take turns, a block of some seconds each, round
after round, and all but one are stopped. Writes ``results.csv``, ``results.md`` and a figure; a
peer that is not installed or cannot do it has its error in the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import blocks  # noqa: E402
import report  # noqa: E402
import workloads  # noqa: E402
from asking import ContenderError, Process  # noqa: E402
from blocks import Block  # noqa: E402
from contenders import ENTRIES, GROUPS, taking_part  # noqa: E402
from rich.progress import Progress  # noqa: E402
from workloads import WORKLOADS  # noqa: E402


class Field:
    """The contenders on so many replicas, and what they did.

    Args:
        folder: for their files; it holds the examples.
    """

    def __init__(self, asked: argparse.Namespace, replicas: int, folder: Path) -> None:
        self.asked = asked
        self.replicas = replicas
        self.folder = folder
        self.blocks: list[Block] = []
        self._processes: dict[str, Process] = {}

    def race(self, workload: str, progress: Progress) -> None:
        """Let all of them train one workload in turn."""
        names = taking_part(workload, self.replicas)
        names = [name for name in names if ENTRIES[name].group in self.asked.only]
        title = f"{workload}, {self.replicas} replica{'s' * (self.replicas > 1)}"
        bar = progress.add_task(title, total=len(names) * (self.asked.rounds + 2))
        parameters: dict[str, int] = {}

        def ask(name: str, round: int, what: str) -> None:
            progress.update(bar, advance=1, description=f"{title}: {name}")
            if any(name == block.contender and block.failed for block in found):
                return
            try:
                if what == "setup":
                    process = self._process(name)
                    answer = process.ask("setup", workload=workload, seconds=self.asked.seconds)
                    parameters[name] = answer["parameters"]
                    _same_model(name, parameters)
                else:
                    answer = self._processes[name].ask("block")
                    if round > 0:
                        found.append(Block(workload, self.replicas, name, round, **answer))
            except ContenderError as error:
                found.append(Block(workload, self.replicas, name, round, failed=str(error)))

        found: list[Block] = []
        for name in names:
            ask(name, 0, "setup")
        for round in range(self.asked.rounds + 1):  # the first one warms up
            first = round % len(names)
            for name in names[first:] + names[:first]:
                ask(name, round, "block")
        for name in names:
            self._close(name)
        self.blocks += found

    def end(self) -> None:
        """End the processes by themselves."""
        for process in self._processes.values():
            process.end()

    def kill(self) -> None:
        """End them at once."""
        for process in self._processes.values():
            process.kill()

    def _process(self, name: str) -> Process:
        if name not in self._processes:
            self._processes[name] = Process(name, self.replicas, self.folder)
        return self._processes[name]

    def _close(self, name: str) -> None:
        """Free what it holds; a process that cannot even do that gets a successor.

        So does each with several replicas: a second MirroredStrategy in a process makes Orbit fail.
        """
        try:
            self._processes[name].ask("close")
        except ContenderError:
            self._processes.pop(name).kill()
        else:
            if self.replicas > 1:
                self._processes.pop(name).end()


def main() -> int:
    asked = _arguments()
    found: list[Block] = []
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.report:
        return _report(blocks.read(asked.out / "results.csv"), asked.out)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, Progress() as progress:
        for name in asked.workload:
            workloads.write(WORKLOADS[name], Path(scratch))
        for replicas in asked.replicas:
            field = Field(asked, replicas, Path(scratch))
            try:
                for name in asked.workload:
                    field.race(name, progress)
                    blocks.write(found + field.blocks, asked.out / "results.csv")
                field.end()
            finally:
                field.kill()
            found += field.blocks
    return _report(found, asked.out)


def _report(found: list[Block], folder: Path) -> int:
    races = blocks.races(found)
    text = report.markdown(races)
    (folder / "results.md").write_text(text, "utf-8")
    report.figure(races, folder)
    print(text)
    return 0


def _same_model(name: str, parameters: dict[str, int]) -> None:
    """The models of two contenders are one, to go by the number of parameters."""
    if ENTRIES[name].group == "products":
        return
    other, expected = next(iter(parameters.items()))
    if parameters[name] != expected:
        raise ContenderError(
            f"its model has {parameters[name]:,} parameters, that of {other} {expected:,}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    groups = list(GROUPS)
    names = list(WORKLOADS)
    parser.add_argument("--workload", nargs="+", choices=names, default=names, help="(all)")
    parser.add_argument("--replicas", nargs="+", type=int, choices=[1, 2], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="after one that warms up (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a block takes (2)")
    parser.add_argument("--only", nargs="+", choices=groups, default=groups, help="of contenders")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the results")
    parser.add_argument("--report", action="store_true", help="only, out of results.csv")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
