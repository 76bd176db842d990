"""What is checked of every layer, one function a promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from layers.core.base import Layer
from layers.core.errors import LayerError
from layers.core.model import build
from layers.core.roles import outer_variables
from layers.testing.case import Case, assert_close, assign, mirrored, step, values
from layers.testing.numerics import (
    check_computes_in_bfloat16,
    check_every_trainable_gets_a_gradient,
    check_gradients_equal_finite_differences,
    check_xla_equals_graph,
)
from layers.testing.replicas import check_replicas_draw_apart, check_replicas_train_alike
from layers.testing.saving import (
    check_copies_are_independent,
    check_exported_model_serves_any_batch_size,
    check_made_from_a_config,
    check_restored_before_it_is_built,
    check_saved_and_restored_exactly,
    check_variables_are_all_found,
)


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


def check_wrong_inputs_are_explained(case: Case) -> None:
    """An input of another rank or size works, or the message has the layer and what was given."""
    first, *others = case.specs
    sizes = first.shape.as_list()
    wrong = [[*sizes, 2], sizes[:-1], [*sizes[:-1], None]]
    if sizes[-1] is not None:
        wrong.append([*sizes[:-1], sizes[-1] + 1])
    for shape in wrong:
        given = tf.TensorSpec(shape, first.dtype)
        layer = case.built() if shape == wrong[-1] else case.make()  # for one size, given another
        try:
            build(layer, given, *others)
        except LayerError as error:
            said = str(error)
            label = type(layer).__name__
            assert label in said or "(" in said.partition(":")[0], f"no layer is named: {said}"
            assert "[" in said, f"the shape given is not said: {said}"


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_variables_are_all_found,
    check_evaluation_is_pure,
    check_traced_equals_eager_at_all_batch_sizes,
    check_every_trainable_gets_a_gradient,
    check_gradients_equal_finite_differences,
    check_initial_values_depend_on_seed_and_path,
    check_built_on_first_call_equals_built_explicitly,
    check_randomness_is_keyed,
    check_replicas_draw_apart,
    check_replicas_train_alike,
    check_saved_and_restored_exactly,
    check_restored_before_it_is_built,
    check_copies_are_independent,
    check_made_from_a_config,
    check_exported_model_serves_any_batch_size,
    check_computes_in_bfloat16,
    check_xla_equals_graph,
    check_wrong_inputs_are_explained,
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
    fixed: bool = False,
    stops: bool = False,
) -> None:
    """Run every check on a layer; see ``Case`` for the arguments.

    Raises ``AssertionError`` that names the first check that fails.
    """
    expected = (variables, state, random, integers_below, labels, more, fixed, stops)
    case = Case(layer, arguments, inputs, *expected)
    for check in CHECKS:
        try:
            check(case)
        except Exception as error:
            raise AssertionError(f"{case}: {check.__name__}: {error}") from error
