"""``keras.Model.fit``: as people write it, and tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from workloads import EVALUATION_BATCH, Workload, read

from contenders import keras_model
from contenders.base import Continuous, mirrored

ENDLESS = 1 << 40  # epochs
TOGETHER = 50  # steps in one execution, where it is tuned


class KerasFit(Continuous):
    """Fits arrays, with validation after each epoch; one unit is an epoch."""

    options: dict[str, Any] = {}  # of compile

    def __init__(self, workload: Workload, replicas: int, folder: Path) -> None:
        super().__init__(workload, replicas, folder)
        strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
        train, validation = (split.scaled(workload) for split in read(workload, folder))
        self.data: dict[str, Any] = self.make_data(train, validation)
        with strategy.scope():
            self.model = keras_model.make_model(workload)
            self.model.compile(
                optimizer=keras_model.make_optimizer(),
                loss=keras_model.make_loss(),
                metrics=["accuracy"],
                **self.options,
            )
        self.parameters = keras_model.parameters(self.model)

    def make_data(self, train: Any, validation: Any) -> dict[str, Any]:
        """What ``fit`` is given."""
        return {
            "x": train.inputs,
            "y": train.labels,
            "batch_size": self.workload.batch,
            "validation_data": (validation.inputs, validation.labels),
            "validation_batch_size": EVALUATION_BATCH,
        }

    def run(self) -> None:
        self.model.fit(**self.data, epochs=ENDLESS, verbose=0, callbacks=[Holding(self)])

    def steps(self) -> int:
        return int(self.model.optimizer.iterations.numpy())


class Holding(keras.callbacks.Callback):
    """Holds ``fit`` where a block has ended."""

    def __init__(self, contender: KerasFit) -> None:
        super().__init__()
        self.contender = contender

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.contender.loss = (logs or {})["val_loss"]
        self.contender.passed()
        self.model.stop_training = self.contender.ending


class KerasTuned(KerasFit):
    """Many steps in one execution, from endless cached data that is fetched ahead of time.

    One unit is as many whole executions as an epoch needs, so validation is a little rarer than
    after each epoch; with shorter ones ``steps_per_execution`` would have no effect.
    """

    def __init__(self, *arguments: Any, compiled: bool) -> None:
        self.options = {"steps_per_execution": TOGETHER, "jit_compile": compiled}
        super().__init__(*arguments)

    def make_data(self, train: Any, validation: Any) -> dict[str, Any]:
        executions = -(-len(train.labels) // self.workload.batch // TOGETHER)
        return {
            "x": keras_model.tuned_training(train, self.workload.batch),
            "steps_per_epoch": executions * TOGETHER,
            "validation_data": keras_model.tuned_validation(validation),
        }
