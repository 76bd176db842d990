"""From a config to the parts of a run, built and checked against each other.

The order matters: devices, data, then the model from the data's own shapes, inside the strategy's
scope and before anything is traced.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from omegaconf import DictConfig, OmegaConf, open_dict

import layers
from pipeline.agreement import check_known, check_target, check_tokens
from pipeline.bucketing import check_lengths
from pipeline.data import source as sources
from pipeline.data.feed import Feed
from pipeline.data.prepared import Prepared
from pipeline.data_parts import (
    data_spec,
    evaluation_feed,
    fill_in,
    make_augmentation,
    make_feed,
    prepare,
    targets_of,
)
from pipeline.durations import Duration
from pipeline.errors import ConfigError
from pipeline.instantiating import make
from pipeline.strategy import make_strategy
from pipeline.training.average import WeightAverage
from pipeline.training.compilation import choose
from pipeline.training.evaluation import Validation
from pipeline.training.optimizers import Optimizer
from pipeline.training.plan import Plan
from pipeline.training.tasks import DataSpec, Task
from pipeline.training.trainer import Trainer

ROLE_OF = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass
class Assembly:
    """Everything a run is made of. ``feeds``: by role (train, validation, test), made on demand."""

    config: DictConfig
    strategy: tf.distribute.Strategy
    source: sources.Source
    model: layers.Layer
    output: tf.TensorSpec
    task: Task
    optimizer: Optimizer
    average: WeightAverage | None
    trainer: Trainer
    plan: Plan
    prepared: Prepared
    data: DataSpec
    feeds: dict[str, Feed]

    def feed(self, role: str) -> Feed:
        """The evaluation feed of a split: train, validation or test."""
        if role not in self.feeds:
            self.feeds[role] = evaluation_feed(self.config, self.strategy, self.prepared, role)
        return self.feeds[role]

    def evaluate(self, split: str) -> dict[str, float]:
        """Every metric over every example of a split, as ``val/loss``, ``test/accuracy``, …"""
        role = ROLE_OF[split]
        prefix = "val" if role == "validation" else role
        results = self.trainer.evaluate(self.feed(role))
        return {f"{prefix}/{name}": value for name, value in results.items()}

    def adapt(self) -> list[str]:
        """Let layers such as ``Standardize`` see the training split once; returns their paths."""
        adapting = layers.adapting(self.model)
        if adapting:
            layers.adapt(self.model, self._training_batches)
        return [layer.path for layer in adapting]

    def _training_batches(self) -> Iterator[Any]:
        for part in self.prepared.parts("train", self.config.trainer.evaluation_batch_size):
            inputs = tf.nest.map_structure(tf.constant, part.inputs)
            yield self.prepared.preprocessing.device(inputs)

    def checkpointed(self) -> dict[str, Any]:
        """What a checkpoint holds, by name."""
        return self.trainer.objects


def assemble(config: DictConfig) -> Assembly:
    """Build every part of ``config``. Fills in what the config leaves to the data:
    ``dataset.classes``, ``dataset.outputs`` and ``dataset.vocabulary``.

    Raises:
        UserError: a part cannot be made, or two do not fit each other; the text says which.
    """
    trainer_config = config.trainer
    if trainer_config.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy(config.strategy.replicas)
    replicas = strategy.num_replicas_in_sync
    check_batch(trainer_config.batch_size, replicas, trainer_config.accumulate)

    task = make(config, "task")
    with strategy.scope():
        prepared = prepare(config, task.needs)
    source = prepared.source
    data = data_spec(prepared)
    fill_in(config, source, data)
    check_target(prepared, task)
    check_known(config, prepared, task)
    optimizer = make(config, "optimizer")
    schedule = make(config, "schedule")
    model = make(_without_init_from(config), "model")
    layers.set_precision(model, trainer_config.precision)

    feed = make_feed(
        strategy,
        prepared,
        "train",
        trainer_config.batch_size,
        trainer_config.steps_per_call,
        list(config.dataset.buckets),
    )
    validation = evaluation_feed(config, strategy, prepared, "validation")
    plan = make_plan(config, feed.steps_per_epoch)
    inputs = prepared.model_inputs
    with strategy.scope():
        output = _build(model, inputs, config.seed)
        check_tokens(model, prepared, data)
        task.check(model, output, data)
        check_lengths(model, prepared, feed)
        task.build(data)
        check_layers(model, trainer_config.batch_size, trainer_config.accumulate)
        optimizer.build(layers.outer_variables(model))
        trained = layers.trained_variables(model)
        average = WeightAverage(trainer_config.average, trained) if trainer_config.average else None
    task.adapt(lambda: targets_of(prepared))

    trainer = Trainer(
        strategy=strategy,
        model=model,
        task=task,
        optimizer=optimizer,
        feed=feed,
        preprocess=prepared.preprocessing.device,
        factor=schedule.factor(feed.steps_per_epoch, plan.total),
        seed=config.seed,
        clip_norm=trainer_config.clip_norm,
        accumulate=trainer_config.accumulate,
        average=average,
        compilation=choose(
            trainer_config.compile,
            model,
            inputs,
            replicas,
            on_gpu=bool(tf.config.list_physical_devices("GPU")),
        ),
        steps_per_call=plan.steps_per_call,
        validation=_validation(plan, task, validation),
        augmentation=make_augmentation(config, prepared, model, replicas),
    )
    return Assembly(
        config,
        strategy,
        source,
        model,
        output,
        task,
        optimizer,
        average,
        trainer,
        plan,
        prepared,
        data,
        feeds={"validation": validation},
    )


def make_plan(config: DictConfig, steps_per_epoch: int) -> Plan:
    """The config's periods in optimizer steps."""
    trainer = config.trainer
    total = Duration.parse(trainer.duration).steps(steps_per_epoch, 0)

    def steps(period: str) -> int:
        return Duration.parse(period).steps(steps_per_epoch, total)

    stopping = trainer.early_stopping
    evaluate_every = steps(trainer.evaluate_every)
    return Plan(
        total=total,
        evaluate_every=evaluate_every,
        checkpoint_every=steps(trainer.checkpoint_every),
        log_every=steps(trainer.log_every),
        steps_per_epoch=steps_per_epoch,
        batch_size=trainer.batch_size,
        metric=config.objective.metric,
        maximise=config.objective.mode == "max",
        patience=steps(stopping.patience) if stopping.patience else None,
        min_delta=stopping.min_delta,
        steps_per_call=trainer.steps_per_call,
        stop_within=trainer.stop_within,
        checkpoint_seconds=trainer.checkpoint_seconds,
        rungs=_rungs(config.sweep, steps, evaluate_every, total) if config.sweep.prune_from else (),
    )


def _rungs(
    sweep: DictConfig, steps: Callable[[str], int], evaluate_every: int, total: int
) -> tuple[int, ...]:
    """Steps at which a trial is compared with its siblings: at evaluations, each
    ``prune_factor`` times as late as the one before."""
    rung, found = float(steps(sweep.prune_from)), []
    while rung < total:
        at = math.ceil(rung / evaluate_every) * evaluate_every
        if at < total and at not in found:
            found.append(at)
        rung *= sweep.prune_factor
    return tuple(found)


def _validation(plan: Plan, task: Task, feed: Feed) -> Validation:
    """Where every state is to be saved, or the best is not the best in validation, each evaluation
    ends a call."""
    prefix, _, name = plan.metric.rpartition("/")
    by_it = prefix == "val" and name in task.metrics and plan.checkpoint_seconds > 0
    objective = name if by_it else None
    return Validation(feed, plan.evaluate_every, objective, plan.maximise, plan.min_delta)


def check_batch(batch: int, replicas: int, accumulate: int) -> None:
    """Raise ``ConfigError`` unless every replica gets the same whole number of examples."""
    parts = replicas * accumulate
    if batch % parts:
        below = batch - batch % parts
        near = f"{below} or {below + parts}" if below else f"{parts}"
        raise ConfigError(
            f"trainer.batch_size={batch} cannot be divided by {replicas} replicas x "
            f"trainer.accumulate={accumulate}; use {near}."
        )


def check_layers(model: layers.Layer, batch: int, accumulate: int) -> None:
    """Raise ``ConfigError`` where a layer cannot do with how the examples come to it."""
    for layer in layers.layers_of(model):
        if isinstance(layer, layers.Stateful) and layer.batch != batch:
            raise ConfigError(
                f"model: {layer.label} carries the state of batch={layer.batch} rows, but "
                f"trainer.batch_size={batch}; write batch: ${{trainer.batch_size}}"
            )
        if layer.trains_itself and accumulate > 1:
            raise ConfigError(
                f"trainer.accumulate={accumulate}: {layer.label} trains itself and would learn "
                "from each microbatch by itself; use trainer.accumulate=1"
            )


def _without_init_from(config: DictConfig) -> DictConfig:
    """``model.init_from`` is no argument of the model's; ``pipeline.warm_starting`` reads it."""
    config = copy.deepcopy(config)
    with open_dict(config):
        config.model.pop("init_from", None)
    return config


def _build(model: layers.Layer, inputs: Any, seed: int) -> tf.TensorSpec:
    several = isinstance(inputs, dict)
    try:
        return layers.build(model, inputs, seed=seed)
    except layers.LayerError as error:
        each = inputs.items() if several else [("", inputs)]
        shown = [f"{name} {spec.shape.as_list()[1:]} {spec.dtype.name}" for name, spec in each]
        raise ConfigError(
            f"the model does not fit the data, whose examples are {', '.join(shown).strip()}: "
            f"{error}"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        if not several:
            raise
        raise ConfigError(
            f"the model cannot take several inputs, and dataset.inputs is a list, which gives "
            f"{', '.join(map(repr, inputs))}. Make one tensor of them "
            "(pipeline.data.preprocess.Columns), name one feature without a list, or give a model "
            f"that takes a dict. ({type(error).__name__}: {error})"
        ) from error


def flat(config: DictConfig) -> dict[str, Any]:
    """Every config value by its dotted key, interpolations resolved."""
    found: dict[str, Any] = {}

    def visit(node: Any, path: str) -> None:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                visit(value, f"{path}.{key}" if path else str(key))
        else:
            found[path] = node

    visit(OmegaConf.to_container(config, resolve=True), "")
    return found
