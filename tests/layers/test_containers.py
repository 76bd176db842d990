"""Containers; paths, sharing, and what goes down from a layer to those below it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

import layers

ROWS = tf.TensorSpec([None, 4])


def _model() -> layers.Stack:
    body = layers.Stack({"in": layers.Dense(4), "drop": layers.Dropout(0.5)})
    return layers.Stack({"body": layers.Residual(body), "out": layers.Dense(2)})


def test_paths_are_the_names_in_the_config() -> None:
    model = _model()
    assert layers.build(model, ROWS) == tf.TensorSpec([None, 2])
    assert list(model.named_variables()) == ["body/block/in/w", "body/block/in/b", "out/w", "out/b"]
    assert [layer.path for layer in layers.layers_of(model)] == [
        "",
        "body",
        "body/block",
        "body/block/in",
        "body/block/drop",
        "out",
    ]


def test_items_slices_and_iteration() -> None:
    model = _model()
    layers.build(model, ROWS)
    assert len(model) == 2
    assert list(model) == [model["body"], model["out"]]
    assert model[-1] is model["out"]
    x = tf.ones([3, 4])
    first = model[:1]
    np.testing.assert_array_equal(model["out"](first(x)), model(x))
    # Calling a slice leaves the paths, and so the random numbers, as they are in the model.
    assert model["body"].path == "body"
    with pytest.raises(
        layers.LayerError, match=r"Stack: has no layer 'bodi'\. Did you mean 'body'\?"
    ):
        model["bodi"]


def test_a_slice_of_a_nested_stack_keeps_its_paths() -> None:
    model = _model()
    layers.build(model, ROWS)
    model["body"].block[:1](tf.ones([3, 4]))
    assert "body/block/in/w" in model.named_variables()
    assert model["body"].block["in"].path == "body/block/in"


def test_none_leaves_a_layer_out() -> None:
    model = layers.Stack({"a": layers.Dense(3), "drop": None, "b": layers.Dense(2)})
    assert list(model.layers) == ["a", "b"]


def test_a_sequence_is_numbered() -> None:
    model = layers.Stack([layers.Dense(3), layers.Dense(2)])
    layers.build(model, ROWS)
    assert list(model.named_variables()) == ["0/w", "0/b", "1/w", "1/b"]


def test_hydra_containers_are_not_kept() -> None:
    held = OmegaConf.create({}, flags={"allow_objects": True})
    held["a"] = layers.Dense(3)
    model = layers.Stack(held)
    layers.build(model, ROWS)
    reached = tf.train.TrackableView(model).descendants()
    assert sum(isinstance(item, tf.Variable) for item in reached) == 2


def test_a_subclass_may_hold_layers_beside_the_stack() -> None:
    class Net(layers.Stack):
        def __init__(self) -> None:
            super().__init__({"a": layers.Dense(3)})
            self.head = layers.Dense(2)

        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            return self.head(super().call(x, training), training=training)

    model = Net()
    layers.build(model, ROWS)
    assert list(model.named_variables()) == ["a/w", "a/b", "head/w", "head/b"]
    assert len(model.variables) == 4


def test_two_layers_with_one_path_are_refused() -> None:
    class Net(layers.Stack):
        def __init__(self) -> None:
            super().__init__({"head": layers.Dense(3)})
            self.head = layers.Dense(2)

    with pytest.raises(layers.LayerError, match="two layers have the path 'head'; rename one"):
        layers.build(Net(), ROWS)


def test_a_layer_used_twice_has_one_path_and_one_set_of_variables() -> None:
    shared = layers.Dense(4)
    model = layers.Stack({"a": shared, "b": layers.Residual(shared)})
    layers.build(model, ROWS)
    assert list(model.named_variables()) == ["a/w", "a/b"]
    assert shared.path == "a"
    x = tf.ones([2, 4])
    once = shared(x)
    np.testing.assert_array_equal(model(x), shared(once) + once)


def test_layers_and_variables_in_lists_and_plain_modules_are_found() -> None:
    class Bag(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layers.Dense(2)
            self.extra = tf.Variable(1.0)

    class Net(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [layers.Dense(2), {"x": layers.Dense(2)}]
            self._bag = Bag()

        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            return self.parts[0](x) + self.parts[1]["x"](x) + self._bag.layer(x) * self._bag.extra

    model = Net()
    layers.build(model, ROWS)
    assert sorted(model.named_variables()) == [
        "_bag/extra",
        "_bag/layer/b",
        "_bag/layer/w",
        "parts/0/b",
        "parts/0/w",
        "parts/1/x/b",
        "parts/1/x/w",
    ]
    assert {layer.path for layer in layers.layers_of(model)} == {
        "",
        "_bag/layer",
        "parts/0",
        "parts/1/x",
    }


def test_a_trained_layer_put_into_a_model_keeps_its_values_and_takes_the_models_path() -> None:
    encoder = layers.Stack({"hidden": layers.Dense(4)})
    layers.build(encoder, ROWS, seed=5)
    before = encoder["hidden"].w.numpy()
    model = layers.Stack({"encoder": encoder, "head": layers.Dense(2)})
    layers.build(model, ROWS, seed=6)
    np.testing.assert_array_equal(model.named_variables()["encoder/hidden/w"], before)
    assert encoder["hidden"].path == "encoder/hidden"


def test_layers_made_by_build_have_paths() -> None:
    class Late(layers.Layer):
        def build(self, x: tf.TensorSpec) -> None:
            self.inner = layers.Dense(2)

        def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
            return self.inner(x)

    model = layers.Stack({"late": Late(compute_dtype="bfloat16")})
    layers.build(model, ROWS)
    assert model["late"].inner.path == "late/inner"
    assert model["late"].inner.compute_dtype == "bfloat16"


def test_dtypes_go_down_to_layers_that_set_none() -> None:
    inner = layers.Stack({"a": layers.Dense(2), "b": layers.Dense(2, compute_dtype="float64")})
    outer = layers.Stack({"inner": inner, "c": layers.Dense(2, compute_dtype="float32")})
    layers.set_precision(outer, "bfloat16")
    layers.build(outer, ROWS)
    dtypes = {layer.path: layer.compute_dtype for layer in layers.layers_of(outer)}
    assert dtypes == {
        "": "bfloat16",
        "inner": "bfloat16",
        "inner/a": "bfloat16",
        "inner/b": "float64",
        "c": "float32",
    }
    shielded = layers.Stack({"d": layers.Dense(2)}, compute_dtype="float32")
    model = layers.Stack({"shielded": shielded})
    layers.set_precision(model, "bfloat16")
    assert shielded["d"].compute_dtype == "float32"


def test_outputs_that_are_dicts_stay_out_of_checkpoints() -> None:
    class Two(layers.Layer):
        def call(self, x: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
            return {"x": x, "twice": 2 * x}

    layer = Two()
    layers.build(layer, ROWS)
    assert tf.train.TrackableView(layer).children(layer) == {}


def test_residual_refuses_to_broadcast() -> None:
    model = layers.Stack({"block": layers.Residual(layers.Dense(1))})
    with pytest.raises(layers.LayerError) as error:
        layers.build(model, ROWS)
    assert str(error.value) == (
        "block (Residual): the block gives [None, 1] float32 and the shortcut [None, 4] float32; "
        "give it a shortcut that ends in the block's shape, such as a Conv2D with kernel_size 1 "
        "and the same filters and strides, or a Dense"
    )


def test_residual_adds_what_the_shortcut_gives() -> None:
    block, shortcut = layers.Dense(2), layers.Dense(2, use_bias=False)
    model = layers.Residual(block, shortcut)
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 4)), tf.float32)
    np.testing.assert_allclose(model(x), block(x) + shortcut(x), rtol=1e-6)


def test_copy_of_a_model_keeps_its_paths() -> None:
    model = _model()
    layers.build(model, ROWS)
    assert list(copy.deepcopy(model).named_variables()) == list(model.named_variables())


def test_branches_join_what_their_layers_give() -> None:
    x = tf.constant([[1.0, -2.0]])
    twice, same = layers.Activation(lambda x: 2 * x), layers.Activation("linear")
    for join, expected in (
        ("add", [[3.0, -6.0]]),
        ("mean", [[1.5, -3.0]]),
        ("concat", [[2.0, -4.0, 1.0, -2.0]]),
    ):
        np.testing.assert_array_equal(layers.Branches([twice, same], join=join)(x), expected)


def test_repeated_layers_have_values_of_their_own() -> None:
    model = layers.Repeat(layers.Residual(layers.Dense(4)), times=3)
    layers.build(model, ROWS)
    assert list(model.named_variables()) == [f"{i}/block/{n}" for i in range(3) for n in "wb"]
    first, second = (model[i].block.w.numpy() for i in (0, 1))
    assert np.abs(first - second).min() > 0
    alone = layers.Stack({"0": layers.Residual(layers.Dense(4))})
    layers.build(alone, ROWS)
    np.testing.assert_array_equal(alone["0"].block.w, first)


def test_a_built_layer_is_not_repeated() -> None:
    dense = layers.Dense(4)
    dense(tf.ones([1, 4]))
    with pytest.raises(layers.LayerError, match="Repeat: layer has been built; give it a new one"):
        layers.Repeat(layers.Residual(dense), times=2)


class _Sum(layers.Layer):
    """The sum over the steps that count."""

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        if mask is None:
            return tf.reduce_sum(x, 1)
        return tf.reduce_sum(tf.where(mask[..., None], x, 0.0), 1)


def test_a_mask_reaches_the_layers_that_take_one() -> None:
    x = tf.constant([[[1.0], [2.0], [4.0]]])
    mask = tf.constant([[True, False, True]])
    model = layers.Stack(
        {
            "plain": layers.Stack({"same": layers.Activation("linear")}),
            "around": layers.Residual(layers.Repeat(layers.Activation("linear"), times=2)),
            "sums": layers.Branches([_Sum(), layers.Stack([_Sum()])]),
        }
    )
    np.testing.assert_array_equal(model(x), [[28.0]])
    np.testing.assert_array_equal(model(x, mask=mask), [[20.0]])


def test_padding_tokens_are_masked() -> None:
    table = layers.Embedding(4, 2)
    model = layers.Masked(layers.Stack({"embed": table, "sum": _Sum()}), padding=3)
    y = model(tf.constant([[1, 3, 2], [3, 3, 3]]))
    np.testing.assert_allclose(y, [table.table[1] + table.table[2], [0.0, 0.0]], rtol=1e-6)


def test_a_mask_that_no_layer_takes_is_refused() -> None:
    model = layers.Stack({"a": layers.Dense(2), "b": layers.Residual(layers.Dense(2))})
    with pytest.raises(layers.LayerError, match="Stack: is given a mask, and no layer in it takes"):
        model(tf.ones([2, 3, 4]), mask=tf.ones([2, 3], tf.bool))


def test_a_layer_that_is_used_twice_draws_twice() -> None:
    drop = layers.Dropout(0.5)
    model = layers.Branches({"a": drop, "b": layers.Stack({"again": drop})}, join="concat")
    with layers.training_step(seed=0, step=0):
        first, second = tf.split(model(tf.ones([4, 50]), training=True), 2, -1)
    assert np.any(first.numpy() != second.numpy())
