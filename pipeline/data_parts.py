"""From ``dataset`` in a config to the data of a run: preprocessed, augmented, in feeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig, open_dict

import layers
from pipeline.bucketing import bucketed
from pipeline.data.augment import Augmentation
from pipeline.data.feed import Feed, ResidentFeed
from pipeline.data.frame import NextToken
from pipeline.data.mixed import mixed
from pipeline.data.mixing import Mixing
from pipeline.data.order import Order
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Preprocessing, Tokens
from pipeline.data.source import Source, load
from pipeline.data.stream import StreamFeed
from pipeline.errors import ConfigError
from pipeline.instantiating import make
from pipeline.training.tasks import DataSpec


def prepare(config: DictConfig, needs: str) -> Prepared:
    """The splits that ``config.dataset`` names; inside the strategy's scope.

    Args:
        needs: the kind of target, see ``Task.needs``.

    Raises:
        UserError: they are not there, or not what the config or the task wants.
    """
    source = load(config.dataset, needs)
    if config.dataset.mix:
        source = mixed(source, needs)
    steps = make(config.dataset, "preprocess", "dataset.preprocess")
    frame = make(config.dataset, "frame", "dataset.frame") if config.dataset.frame else None
    return Prepared(source, Preprocessing(steps), frame or default_frame(needs))


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


def targets_of(prepared: Prepared) -> Iterator[np.ndarray]:
    """Those of the training split, if it has any."""
    return (part.targets for part in prepared.parts("train") if part.targets is not None)


def _counts(prepared: Prepared) -> np.ndarray:
    """Examples of each class."""
    size = prepared.source.target.size or 0
    counts = np.zeros([size], np.int64)
    for targets in targets_of(prepared):
        counts += np.bincount(targets, minlength=size)
    return counts


def fill_in(config: DictConfig, source: Source, data: DataSpec) -> None:
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


def make_augmentation(
    config: DictConfig, prepared: Prepared, model: layers.Layer, replicas: int
) -> Augmentation | None:
    """What ``dataset.augment`` says; refused where the examples or the model cannot do with it."""
    if not config.dataset.augment:
        return None
    batch = config.trainer.batch_size
    part = next(iter(prepared.parts("train", batch // (replicas * config.trainer.accumulate))))
    inputs = prepared.preprocessing.device(tf.nest.map_structure(tf.constant, part.inputs))
    augmentation = augmentation_of(config, inputs, batch)
    learners = [layer for layer in layers.layers_of(model) if layer.trains_itself]
    if augmentation.mixes and learners:
        raise ConfigError(
            f"dataset.augment mixes examples and their targets, but {learners[0].label} trains "
            "itself, with one target an example. Leave MixUp and CutMix out."
        )
    return augmentation


def augmentation_of(
    config: DictConfig, inputs: Any, batch: int, compiled: bool = True
) -> Augmentation:
    """The steps of ``dataset.augment``, tried on ``inputs``.

    Args:
        inputs: examples as the model takes them, as many as a replica takes at a time.
        batch: examples of the global batch.

    Raises:
        ConfigError: the examples cannot do with them.
    """
    augmentation = Augmentation(make(config.dataset, "augment", "dataset.augment"), batch, compiled)
    positions = tf.range(len(tf.nest.flatten(inputs)[0]))
    try:
        augmentation.check(tf.nest.map_structure(lambda t: t.numpy(), inputs))
        augmentation(inputs, tf.zeros([2], tf.int64), positions)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"dataset.augment: {error}") from error
    return augmentation


def evaluation_feed(
    config: DictConfig, strategy: tf.distribute.Strategy, prepared: Prepared, role: str
) -> Feed:
    streamed = prepared.is_streamed(role)
    size = len(prepared.reader(role) if streamed else prepared.examples(role))
    batch = evaluation_batch(
        size, config.trainer.evaluation_batch_size, strategy.num_replicas_in_sync
    )
    return make_feed(strategy, prepared, role, batch, size)


def evaluation_batch(size: int, most: int, replicas: int) -> int:
    """Examples of each batch of a split: as few batches as ``most`` allows, and as small as they
    can be then, since what the last one lacks is computed all the same.

    It is a multiple of ``replicas``, for which it may be a little more than ``most``.
    """
    batches = -(-size // most)
    return -(-size // (batches * replicas)) * replicas


def make_feed(
    strategy: tf.distribute.Strategy,
    prepared: Prepared,
    role: str,
    batch: int,
    most: int,
    buckets: Sequence[int] = (),
) -> Feed:
    """Of a split, in memory or on disk.

    Args:
        most: steps that are taken at once.
        buckets: lengths that training batches are cut to, see ``dataset.buckets``.
    """
    if prepared.is_streamed(role):
        reader = prepared.reader(role)
        order = order_of(prepared, role, len(reader), batch, buckets)
        return StreamFeed(strategy, role, reader, batch, most, order)
    examples = prepared.examples(role)
    order = order_of(prepared, role, len(examples), batch, buckets)
    return ResidentFeed(strategy, role, examples, batch, order)


def order_of(
    prepared: Prepared, role: str, size: int, batch: int, buckets: Sequence[int] = ()
) -> Order:
    """In which training visits the ``size`` examples of a split."""
    if buckets:
        return bucketed(prepared, buckets, batch)
    config = prepared.source.config
    if role != "train" or not config.mix:
        return Order(config.order, size, batch)
    sizes, counts = prepared.sizes_of_sets(role), prepared.in_epoch()
    return Mixing([*sizes.values()], [*counts.values()], batch)
