"""From a config to the parts of a run, built and checked against each other.

The order matters: devices, data, then the model from the data's own shapes, inside the strategy's
scope and before anything is traced.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import hydra.utils
import numpy as np
import tensorflow as tf
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf, open_dict

import layers
from pipeline.data import source as sources
from pipeline.data.augment import Augmentation
from pipeline.data.feed import Feed, ResidentFeed
from pipeline.data.frame import NextToken
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing, Tokens
from pipeline.data.stream import StreamFeed
from pipeline.durations import Duration
from pipeline.errors import ConfigError
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
            self.feeds[role] = _evaluation_feed(self.config, self.strategy, self.prepared, role)
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

    task = _make(config, "task")
    source = sources.load(config.dataset, task.needs)
    steps = _make(config.dataset, "preprocess", "dataset.preprocess")
    frame = _make(config.dataset, "frame", "dataset.frame") if config.dataset.frame else None
    with strategy.scope():
        prepared = Prepared(source, Preprocessing(steps), frame or default_frame(task.needs))
    data = data_spec(prepared)
    _fill_in(config, source, data)
    optimizer = _make(config, "optimizer")
    schedule = _make(config, "schedule")
    model = _make(_without_init_from(config), "model")
    layers.set_precision(model, trainer_config.precision)

    feed = make_feed(
        strategy, prepared, "train", trainer_config.batch_size, trainer_config.steps_per_call
    )
    validation = _evaluation_feed(config, strategy, prepared, "validation")
    plan = make_plan(config, feed.steps_per_epoch)
    inputs = prepared.model_inputs
    with strategy.scope():
        output = _build(model, inputs, config.seed)
        task.check(model, output, data)
        task.build(data)
        check_layers(model, trainer_config.batch_size, trainer_config.accumulate)
        optimizer.build(layers.outer_variables(model))
        trained = layers.trained_variables(model)
        average = WeightAverage(trainer_config.average, trained) if trainer_config.average else None
    task.adapt(lambda: _targets(prepared))

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
        augmentation=_augmentation(config, prepared, model, replicas),
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


def default_frame(needs: str) -> Any:
    """Where no frame is given: what predicts tokens predicts the next ones."""
    return NextToken() if needs == "tokens" else None


def data_spec(prepared: Prepared) -> DataSpec:
    """What the task may know of the data."""
    source, target = prepared.source, prepared.source.target
    targets = prepared.example("train").targets
    outputs = target.size
    if target.kind == "numbers" and targets is not None:
        outputs = targets.shape[-1]
    steps = prepared.preprocessing.host.steps.values()
    tokens = next((step for step in steps if isinstance(step, Tokens)), None)
    if target.kind == "tokens" and tokens is not None:
        outputs = tokens.ids
    return DataSpec(
        name=source.name,
        outputs=outputs,
        names=target.names,
        inputs=prepared.model_inputs,
        target=None if targets is None else tf.TensorSpec([None, *targets.shape[1:]]),
        counts=partial(_counts, prepared) if target.kind == "class" else None,
        token_bytes=tokens.bytes_of_token if tokens else None,
        padding=0 if tokens else None,
        decode=tokens.decode if tokens else None,
    )


def _targets(prepared: Prepared) -> Iterator[np.ndarray]:
    """Those of the training split, if it has any."""
    return (part.targets for part in prepared.parts("train") if part.targets is not None)


def _counts(prepared: Prepared) -> np.ndarray:
    """Examples of each class."""
    size = prepared.source.target.size or 0
    counts = np.zeros([size], np.int64)
    for targets in _targets(prepared):
        counts += np.bincount(targets, minlength=size)
    return counts


def _fill_in(config: DictConfig, source: sources.Source, data: DataSpec) -> None:
    """What the config leaves open and the data says; raises where they differ."""
    tokens = None if data.token_bytes is None else len(data.token_bytes)
    found = {"classes": source.classes or None, "outputs": data.outputs, "vocabulary": tokens}
    with open_dict(config):
        for key, value in found.items():
            given = config.dataset[key]
            if given is not None and value is not None and given != value:
                raise ConfigError(
                    f"dataset.{key}={given}, but {source.name} has {value}. Set "
                    f"dataset.{key}={value}, or null to take what the data says."
                )
            config.dataset[key] = value if value is not None else given


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


def _augmentation(
    config: DictConfig, prepared: Prepared, model: layers.Layer, replicas: int
) -> Augmentation | None:
    """What ``dataset.augment`` says; refused where the examples or the model cannot do with it."""
    steps = _make(config.dataset, "augment", "dataset.augment")
    if not steps:
        return None
    batch = config.trainer.batch_size
    augmentation = Augmentation(steps, batch)
    learners = [layer for layer in layers.layers_of(model) if layer.trains_itself]
    if augmentation.mixes and learners:
        raise ConfigError(
            f"dataset.augment mixes examples and their targets, but {learners[0].label} trains "
            "itself, with one target an example. Leave MixUp and CutMix out."
        )
    size = batch // (replicas * config.trainer.accumulate)
    part = next(iter(prepared.parts("train", size)))
    inputs = prepared.preprocessing.device(tf.nest.map_structure(tf.constant, part.inputs))
    positions = tf.range(len(part))
    try:
        augmentation.check(tf.nest.map_structure(lambda t: t.numpy(), inputs))
        augmentation(inputs, tf.zeros([2], tf.int64), positions)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"dataset.augment: {error}") from error
    return augmentation


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


def _make(config: DictConfig, key: str, path: str | None = None) -> Any:
    try:
        return hydra.utils.instantiate(config[key])
    except InstantiationException as error:
        # Hydra says "Error in call to target '…':\nValueError('…')\nfull_key: …".
        cause = error.__cause__ or error
        where = (
            str(error).rpartition("full_key: ")[2] if "full_key: " in str(error) else path or key
        )
        raise ConfigError(f"{where}: {cause}") from error


def _without_init_from(config: DictConfig) -> DictConfig:
    """``model.init_from`` is no argument of the model's; ``pipeline.warm_starting`` reads it."""
    config = copy.deepcopy(config)
    with open_dict(config):
        config.model.pop("init_from", None)
    return config


def _build(model: layers.Layer, inputs: tf.TensorSpec, seed: int) -> tf.TensorSpec:
    try:
        return layers.build(model, inputs, seed=seed)
    except layers.LayerError as error:
        raise ConfigError(
            f"the model does not fit the data, whose examples are {inputs.shape.as_list()[1:]}: "
            f"{error}"
        ) from error


def _evaluation_feed(
    config: DictConfig, strategy: tf.distribute.Strategy, prepared: Prepared, role: str
) -> Feed:
    streamed = prepared.is_streamed(role)
    size = len(prepared.reader(role) if streamed else prepared.examples(role))
    replicas = strategy.num_replicas_in_sync
    batch = min(config.trainer.evaluation_batch_size, size)
    batch = -(-batch // replicas) * replicas  # a batch divides; the split need not
    return make_feed(strategy, prepared, role, batch, size)


def make_feed(
    strategy: tf.distribute.Strategy, prepared: Prepared, role: str, batch: int, most: int
) -> Feed:
    """Of a split, in memory or on disk; ``most``: steps that are taken at once."""
    order = prepared.source.config.order
    if prepared.is_streamed(role):
        return StreamFeed(strategy, role, prepared.reader(role), batch, most, order)
    return ResidentFeed(strategy, role, prepared.examples(role), batch, order)


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
