"""What all contenders share: blocks of training of about the same time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import tensorflow as tf
from workloads import Workload


class Contender(ABC):
    """Trains one workload. Made, compiled and calibrated before its first block.

    Args:
        folder: with the examples that ``workloads.write`` left, and for files of its own.
    """

    loss = float("nan")  # of the last validation or training, to see that it did train
    parameters = 0  # that are trained

    def __init__(self, workload: Workload, replicas: int, folder: Path) -> None:
        self.workload = workload
        self.replicas = replicas
        self.folder = folder
        self.units = 1

    @abstractmethod
    def train(self, units: int) -> int:
        """Train for some units, such as epochs; returns the optimizer steps taken."""

    def calibrate(self, seconds: float) -> None:
        """Find how many units take about ``seconds``."""
        self.train(1)  # traces and compiles
        for _ in range(8):
            taken, before = self.block()[1], self.units
            # Not by more than eightfold, since the first blocks of something may be slow.
            self.units = max(1, round(self.units * min(8.0, seconds / taken)))
            if 0.8 < self.units / before < 1.25:
                break

    def block(self) -> tuple[int, float]:
        """Train one block: its steps and its seconds."""
        begun = time.perf_counter()
        steps = self.train(self.units)
        return steps, time.perf_counter() - begun

    def end(self) -> None:  # noqa: B027, most have nothing to do
        """Finish what is open."""


class Continuous(Contender):
    """Whose training is one long call, as in a run of hours: it is held between the blocks, at the
    end of a unit, so that no block has its beginning or its end."""

    def __init__(self, workload: Workload, replicas: int, folder: Path) -> None:
        super().__init__(workload, replicas, folder)
        self._asked: SimpleQueue[int] = SimpleQueue()  # units to train
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = Thread(target=self._run, daemon=True)
        self._left = 0
        self.ending = False

    @abstractmethod
    def run(self) -> None:
        """Train on and on, ``passed`` after each unit, until told that it is ``ending``."""

    @abstractmethod
    def steps(self) -> int:
        """Optimizer steps taken so far."""

    def passed(self) -> None:
        """A unit has ended: wait, if it was the last of a block."""
        self._left -= 1
        if self._left == 0:
            self._answers.put(None)
            self._left = self._asked.get()

    def train(self, units: int) -> int:
        first = self.steps()
        if not self._thread.ident:
            self._thread.start()
        self._asked.put(units)
        if error := self._answers.get():
            raise error
        return self.steps() - first

    def end(self) -> None:
        if self._thread.is_alive():
            self.ending = True
            self._asked.put(-1)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._left = self._asked.get()
            self.run()
            self._answers.put(RuntimeError("training has ended"))
        except BaseException as error:
            self._answers.put(error)


def mirrored(replicas: int) -> tf.distribute.MirroredStrategy:
    """A strategy over so many logical devices of the CPU, as everybody would make it."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    made = tf.config.get_logical_device_configuration(cpu)
    if replicas > 1 and not made:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
        )
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
