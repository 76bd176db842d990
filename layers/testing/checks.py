"""What is checked of every layer, one function a promise."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from layers.core.base import Layer, build, set_precision
from layers.core.roles import outer_variables
from layers.core.tree import walk
from layers.testing.case import (
    Case,
    assert_close,
    assign,
    gradients_of,
    mirrored,
    step,
    values,
)
from layers.testing.replicas import check_replicas_draw_apart, check_replicas_train_alike


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
    assert bool(state) == case.state, f"state declared: {case.state}, found: {state}"
    own = walk(layer, into=lambda module: isinstance(module, Layer))
    for path, variable in [(p, v) for p, v in own if isinstance(v, tf.Variable)]:
        name = variable.name.rpartition("/")[2].split(":")[0]
        assert path.rpartition("/")[2] == name, f"{name!r} is held in the attribute {path!r}"


def check_built_on_first_call_equals_built_explicitly(case: Case) -> None:
    """The same variables and initial values, also when replicas or a tf.function call first."""
    expected = values(case.built())
    weights = set(outer_variables(case.built()))
    xs = case.examples(2)

    def first_call(where: str, wrap: Callable[..., Any], training: bool = False) -> Layer:
        layer = case.make()

        def call() -> Any:
            with step(xs):
                return layer(*xs, training=training)

        wrap(call)
        found = values(layer)
        if training:  # its state has moved on
            found = {**expected, **{path: found[path] for path in weights}}
        assert set(layer.named_variables()) == set(expected), f"first called {where}"
        assert_close(found, expected, 0, f"first called {where}")
        return layer

    first_call("eagerly", lambda call: call())
    first_call("in a tf.function", lambda call: tf.function(call, autograph=False)())
    strategy = mirrored(2)

    @tf.function(autograph=False)
    def in_a_loop(call: Callable[[], Any]) -> None:
        def body(i: tf.Tensor) -> list[tf.Tensor]:
            strategy.run(call)
            return [i + 1]

        tf.while_loop(lambda i: i < 2, body, [tf.constant(0)])

    with strategy.scope():
        for layer in (
            first_call("by two replicas", strategy.run),
            first_call("by two replicas training in a loop", in_a_loop, training=True),
        ):
            for path, variable in layer.named_variables().items():
                copies = strategy.experimental_local_results(variable)
                assert len(copies) == 2, f"{path} is not mirrored"


def check_initial_values_depend_on_seed_and_path(case: Case) -> None:
    """The same seed repeats them; another seed changes those that are random."""
    first, again, other = (values(case.built(seed=seed)) for seed in (1, 1, 2))
    assert_close(again, first, 0, "built twice with one seed")
    random = {p for p, v in first.items() if np.unique(v).size > 1}
    kept = {p for p in random if np.array_equal(first[p], other[p])}
    assert not kept, f"another seed gives the same {sorted(kept)}"


def check_traced_equals_eager_at_all_batch_sizes(case: Case) -> None:
    """One trace serves every batch size, none among them, and computes what eager does."""
    layer = case.built()
    start = values(layer)
    sizes: list[Any] = []

    for training in (False, True):

        def call(*xs: Any, training: bool = training) -> Any:
            with step(xs):
                return layer(*xs, training=training)

        traced = tf.function(call, input_signature=case.specs, autograph=False)
        for batch in (3, 1, 0):
            xs = case.examples(batch)
            results = []
            for run in (call, traced):
                assign(layer, start)
                results.append((run(*xs), values(layer)))
            (eager, eager_values), (graph, graph_values) = results
            what = f"batch of {batch}, training={training}"
            assert_close(graph, eager, 1e-6, f"output, {what}")
            assert_close(graph_values, eager_values, 1e-6, f"state, {what}")
            shapes = [part.shape.as_list() for part in tf.nest.flatten(graph)]
            assert all(shape[0] == batch for shape in shapes), f"{batch} examples gave {shapes}"
            sizes.append([shape[1:] for shape in shapes])
            assert sizes[-1] == sizes[0], f"batches of 3 gave {sizes[0]}, of {batch} {sizes[-1]}"
            for part in tf.nest.flatten(graph):
                assert np.isfinite(part.numpy().astype(np.float32)).all(), f"not finite, {what}"
        assert traced.experimental_get_tracing_count() == 1


def check_every_trainable_gets_a_gradient(case: Case) -> None:
    """No weight is disconnected from the output, and none gets a sparse gradient."""
    layer = case.built()
    _, gradients = gradients_of(layer, case.examples(4))
    for path, gradient in gradients.items():
        assert gradient is not None, f"{path} has no gradient"
        assert isinstance(gradient, tf.Tensor), f"{path} has a sparse gradient"
        assert np.isfinite(gradient.numpy()).all(), f"the gradient of {path} is not finite"
        assert np.any(gradient.numpy() != 0), f"the gradient of {path} is zero"


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


def check_evaluation_is_pure(case: Case) -> None:
    """It repeats, leaves every variable alone and needs no training step; training may not."""
    layer = case.built()
    xs = case.examples(4)
    start = values(layer)
    first, second = layer(*xs), layer(*xs)
    assert_close(second, first, 0, "evaluated twice")
    assert_close(values(layer), start, 0, "variables after evaluation")
    if case.random or case.labels:
        with step(xs):
            layer(*xs, training=True)
    else:
        layer(*xs, training=True)  # needs no training step
    changed = any(not np.array_equal(start[p], v) for p, v in values(layer).items())
    assert changed == case.state, f"state declared: {case.state}, changed by training: {changed}"


def check_randomness_is_keyed(case: Case) -> None:
    """The same step repeats its random numbers, another step, replica or seed draws others."""
    xs = case.examples(16)

    def output(number: int, replica: int) -> Any:
        layer = case.built()
        with step(xs, number, replica):
            return layer(*xs, training=True)

    first = output(0, 0)
    assert_close(output(0, 0), first, 0, "the same step again")
    for number, replica in ((1, 0), (0, 1)):
        leaves = zip(tf.nest.flatten(first), tf.nest.flatten(output(number, replica)), strict=True)
        differs = any(not np.array_equal(a, b) for a, b in leaves)
        assert differs == case.random, f"random declared: {case.random}, differs: {differs}"


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


def check_made_from_a_config(case: Case) -> None:
    """``hydra.utils.instantiate`` with its default conversion gives the same layer."""
    from hydra.utils import instantiate

    target = f"{case.layer.__module__}.{case.layer.__qualname__}"
    layer = instantiate({"_target_": target, **case.arguments})
    build(layer, *case.specs)
    assert_variables_are_all_found(case, layer)
    assert_close(values(layer), values(case.built()), 0, "initial values")


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


def check_computes_in_bfloat16(case: Case) -> None:
    """With that policy outputs are bfloat16 and near float32's; variables stay float32."""
    exact, layer = case.built(seed=1), case.make()
    set_precision(layer, "bfloat16")
    build(layer, *case.specs, seed=1)
    assert_close(values(layer), values(exact), 0, "initial values")
    xs = case.examples(4)
    for y, expected in zip(tf.nest.flatten(layer(*xs)), tf.nest.flatten(exact(*xs)), strict=True):
        casts = expected.dtype.is_floating and layer.compute_dtype == "bfloat16"
        # Layers that only move values keep the dtype of what they are given.
        assert y.dtype in (tf.bfloat16, case.inputs.dtype) if casts else True, y.dtype
        assert_close(tf.cast(y, tf.float32), tf.cast(expected, tf.float32), 0.05, "output")
    _, gradients = gradients_of(layer, xs)
    for path, gradient in gradients.items():
        assert gradient.dtype == tf.float32, f"the gradient of {path} is {gradient.dtype}"
        assert np.isfinite(gradient.numpy()).all(), f"the gradient of {path} is not finite"


def check_xla_equals_graph(case: Case) -> None:
    """Compiled by XLA: outputs, gradients and state are the same to rounding."""
    layer = case.built(seed=1)
    start = values(layer)
    xs = case.examples(4)
    results = []
    for compiled in (False, True):
        assign(layer, start)
        run = tf.function(
            lambda *xs: gradients_of(layer, xs), jit_compile=compiled, autograph=False
        )
        results.append((run(*xs), values(layer)))
    assert_close(results[1], results[0], 1e-5, "compiled by XLA")


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_variables_are_all_found,
    check_evaluation_is_pure,
    check_traced_equals_eager_at_all_batch_sizes,
    check_every_trainable_gets_a_gradient,
    check_initial_values_depend_on_seed_and_path,
    check_built_on_first_call_equals_built_explicitly,
    check_randomness_is_keyed,
    check_replicas_draw_apart,
    check_replicas_train_alike,
    check_saved_and_restored_exactly,
    check_copies_are_independent,
    check_made_from_a_config,
    check_exported_model_serves_any_batch_size,
    check_computes_in_bfloat16,
    check_xla_equals_graph,
)


def conformance(
    layer: type[Layer],
    arguments: Mapping[str, Any],
    inputs: tf.TensorSpec,
    variables: int,
    state: bool = False,
    random: bool = False,
    integers_below: int = 256,
    labels: bool = False,
    more: tuple[Any, ...] = (),
) -> None:
    """Run every check on a layer; see ``Case`` for the arguments.

    Raises ``AssertionError`` that names the first check that fails.
    """
    case = Case(layer, arguments, inputs, variables, state, random, integers_below, labels, more)
    for check in CHECKS:
        try:
            check(case)
        except Exception as error:
            raise AssertionError(f"{case}: {check.__name__}: {error}") from error
