"""Kinds of state: what replicas write, and what is read and saved as one value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import layers


class Counter(layers.Layer):
    """Assigns each replica's value plus one."""

    def __init__(self, kind: str, dtype: str = "float32", **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind
        self.dtype = dtype

    def build(self, x: tf.TensorSpec) -> None:
        self.seen = self.state("seen", [], "zeros", self.kind, self.dtype)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        if training:
            self.seen.assign_add(tf.reduce_sum(tf.cast(x, self.seen.dtype)))
        return x


def _run(strategy: Any, layer: layers.Layer, values: list[float]) -> list[float]:
    def replica_step() -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        layer(tf.gather(tf.constant(values), [replica]), training=True)

    tf.function(lambda: strategy.run(replica_step), autograph=False)()
    return [v.numpy() for v in strategy.experimental_local_results(layer.seen)]


def test_population_is_local_and_read_as_the_mean(strategy_of: Callable[[int], Any]) -> None:
    strategy = strategy_of(2)
    with strategy.scope():
        layer = Counter("population")
    assert _run(strategy, layer, [1.0, 2.0]) == [1.0, 2.0]
    assert layer.seen.numpy() == 1.5


def test_replicated_restores_the_bits_it_saved(
    strategy_of: Callable[[int], Any], tmp_path: Path
) -> None:
    strategy = strategy_of(4)
    with strategy.scope():
        layer, other = Counter("replicated"), Counter("replicated")
        layers.build(other, tf.TensorSpec([None]))
    third = float(tf.constant(1 / 3))  # three quarters of it would round
    assert _run(strategy, layer, [third] * 4) == [third] * 4
    path = tf.train.Checkpoint(layer).write(str(tmp_path / "state"))
    tf.train.Checkpoint(other).read(path).assert_consumed()
    assert [v.numpy() for v in strategy.experimental_local_results(other.seen)] == [third] * 4


def test_replicated_holds_integers(strategy_of: Callable[[int], Any]) -> None:
    strategy = strategy_of(2)
    with strategy.scope():
        layer = Counter("replicated", "int64")
        layers.build(layer, tf.TensorSpec([None]))
    large = 2**53 + 1  # a mean in float64 would round
    layer.seen.assign(large)
    assert _run(strategy, layer, [2.0, 2.0]) == [large + 2] * 2
    assert layer.seen.numpy() == large + 2


def test_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(layers.LayerError) as error:
        layers.build(Counter("replicate"), tf.TensorSpec([None]))
    assert str(error.value) == (
        "Counter: unknown kind of state 'replicate'. Did you mean 'replicated'?"
    )


def test_a_model_trained_on_two_replicas_serves_from_a_saved_model(
    strategy_of: Callable[[int], Any], tmp_path: Path
) -> None:
    strategy = strategy_of(2)
    with strategy.scope():
        model = layers.Stack({"conv": layers.Conv2D(3, 3), "norm": layers.BatchNorm(momentum=0.5)})
        layers.build(model, tf.TensorSpec([None, 4, 4, 2]))
    x = tf.random.stateless_normal([4, 4, 4, 2], [0, 0])
    train = tf.function(lambda: strategy.run(lambda: model(x, training=True)), autograph=False)
    train()
    serving = tf.Module()
    serving.model = model
    serving.predict = tf.function(
        lambda x: model(x),
        input_signature=[tf.TensorSpec([None, 4, 4, 2])],
        autograph=False,
    )
    tf.saved_model.save(serving, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert abs(model["norm"].moving_mean.numpy()).max() > 0
    for batch in (1, 3):
        tf.debugging.assert_near(loaded.predict(x[:batch]), model(x[:batch]), 1e-6, 1e-6)
