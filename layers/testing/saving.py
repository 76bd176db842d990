"""Checks that nothing a layer has learnt is lost: found, saved, restored, exported, copied."""

from __future__ import annotations

import copy
import tempfile

import numpy as np
import tensorflow as tf

from layers.core.base import Layer
from layers.core.model import build
from layers.core.tree import walk
from layers.testing.case import Case, assert_close, assign, mirrored, values


def check_variables_are_all_found(case: Case) -> None:
    """named_variables(), tf.Module and a checkpoint reach the same variables, once each."""
    assert_variables_are_all_found(case, case.built())


def assert_variables_are_all_found(case: Case, layer: Layer) -> None:
    """The same for a layer that is built."""
    named = layer.named_variables()
    reached = tf.train.TrackableView(layer).descendants()
    saved = {id(item) for item in reached if isinstance(item, tf.Variable)}
    ours = {id(variable) for variable in named.values()}
    module = {id(variable) for variable in layer.variables}
    assert ours == module, f"tf.Module finds {len(module)} variables, named_variables {len(ours)}"
    assert ours == saved, f"a checkpoint reaches {len(saved)} variables of {len(ours)}"
    assert len(named) == len(ours), "two paths lead to one variable"
    assert len(named) == case.variables, f"{len(named)} variables, {case.variables} declared"
    state = [path for path, variable in named.items() if not variable.trainable]
    declared = case.state or case.fixed
    assert bool(state) == declared, f"state declared: {declared}, found: {state}"
    own = walk(layer, into=lambda module: isinstance(module, Layer))
    for path, variable in [(p, v) for p, v in own if isinstance(v, tf.Variable)]:
        name = variable.name.rpartition("/")[2].split(":")[0]
        assert path.rpartition("/")[2] == name, f"{name!r} is held in the attribute {path!r}"


def check_saved_and_restored_exactly(case: Case) -> None:
    """From one replica to two and back, on each replica; nothing is missing or left over."""
    source = case.built(seed=1)
    random = np.random.default_rng(0)
    named = source.named_variables().items()
    assign(source, {p: random.uniform(1, 4, v.shape).astype(v.dtype.name) for p, v in named})
    expected = values(source)
    strategy = mirrored(2)
    with strategy.scope():
        between = case.built(seed=2)
    target = case.built(seed=3)
    with tempfile.TemporaryDirectory() as folder:
        one = tf.train.Checkpoint(model=source).write(f"{folder}/one")
        tf.train.Checkpoint(model=between).read(one).assert_consumed()
        two = tf.train.Checkpoint(model=between).write(f"{folder}/two")
        tf.train.Checkpoint(model=target).read(two).assert_consumed()
    for path, variable in between.named_variables().items():
        for replica, local in enumerate(strategy.experimental_local_results(variable)):
            assert_close(local.numpy(), expected[path], 0, f"{path} on replica {replica}")
    assert_close(values(target), expected, 0, "restored on one replica")


def check_restored_before_it_is_built(case: Case) -> None:
    """A checkpoint read by a layer that has no variables yet fills them as they are made."""
    source = case.built(seed=1)
    if not source.variables:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = tf.train.Checkpoint(model=source).write(f"{folder}/early")
        for strategy in (tf.distribute.get_strategy(), mirrored(2)):
            with strategy.scope():
                target = case.make()
                status = tf.train.Checkpoint(model=target).read(path)
                build(target, *case.specs, seed=2)
            status.assert_consumed()
            what = f"read before it was built, {strategy.num_replicas_in_sync} replicas"
            assert_close(values(target), values(source), 0, what)


def check_copies_are_independent(case: Case) -> None:
    """``copy.deepcopy`` computes the same and shares no variable."""
    layer = case.built(seed=1)
    twin = copy.deepcopy(layer)
    xs = case.examples(3)
    assert_close(twin(*xs), layer(*xs), 0, "output of the copy")
    before = values(layer)
    assign(twin, {path: value + 1 for path, value in values(twin).items()})
    assert_close(values(layer), before, 0, "the original after the copy was changed")
    assert_variables_are_all_found(case, twin)


def check_made_from_a_config(case: Case) -> None:
    """``hydra.utils.instantiate`` with its default conversion gives the same layer."""
    from hydra.utils import instantiate

    target = f"{case.layer.__module__}.{case.layer.__qualname__}"
    layer = instantiate({"_target_": target, **case.arguments})
    build(layer, *case.specs)
    assert_variables_are_all_found(case, layer)
    assert_close(values(layer), values(case.built()), 0, "initial values")


def check_exported_model_serves_any_batch_size(case: Case) -> None:
    """A SavedModel, loaded again, computes the same at two batch sizes."""
    layer = case.built(seed=1)
    serving = tf.Module()
    serving.model = layer
    serving.predict = tf.function(
        lambda *xs: layer(*xs, training=False), input_signature=case.specs, autograph=False
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(serving, folder)
        loaded = tf.saved_model.load(folder)
        for batch in (2, 5):
            xs = case.examples(batch)
            assert_close(loaded.predict(*xs), layer(*xs), 1e-6, f"a batch of {batch}")
