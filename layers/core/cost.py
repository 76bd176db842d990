"""How many multiplications with an addition one example costs, layer by layer.

Counted are matrix products, convolutions and einsums in the graph of a forward pass, which is
where nearly all arithmetic of a network is; not counted are additions, activations, pooling and
normalisation. A loop counts as often as it runs at most.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers.core.base import Layer
from layers.core.model import layers_of


def multiply_adds(model: Layer, inputs: Any) -> dict[int, int | None]:
    """Of one example, by ``id`` of the layer that does them; layers below are not included.

    ``inputs``: specs of the model's inputs. ``None`` where a size that matters is not known.
    """
    owners: dict[tuple[str, str], int] = {}  # (graph, operation) -> the innermost layer
    undo: list[Callable[[], None]] = []
    try:
        for layer in layers_of(model):
            object.__setattr__(layer, "call", _noting(layer, owners))
            undo.append(lambda layer=layer: object.__delattr__(layer, "call"))  # type: ignore[misc]
        one = tf.nest.map_structure(_of_one_example, inputs)
        forward = tf.function(lambda *xs: model(*xs, training=False), autograph=False)
        graph = forward.get_concrete_function(*one).graph
    finally:
        for call in undo:
            call()
    found: dict[int, int | None] = defaultdict(int)
    _count(graph, 1, owners, found)
    return {id(layer): found[id(layer)] for layer in layers_of(model)}


def _of_one_example(spec: tf.TensorSpec) -> tf.TensorSpec:
    return tf.TensorSpec([1, *spec.shape[1:]] if spec.shape.rank else spec.shape, spec.dtype)


def _noting(layer: Layer, owners: dict[tuple[str, str], int]) -> Callable[..., Any]:
    """``layer.call``, which writes down what operations it makes that no layer below it made."""
    call = type(layer).call

    def noting(*args: Any, **kwargs: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        first = len(graph.get_operations())
        y = call(layer, *args, **kwargs)
        for operation in graph.get_operations()[first:]:
            owners.setdefault((graph.name, operation.name), id(layer))
        return y

    return noting


def _count(
    graph: Any, times: int | None, owners: dict[tuple[str, str], int], found: dict[int, int | None]
) -> None:
    for operation in graph.get_operations():
        inner, factor = _inside(operation)
        if inner:
            repeated = None if times is None or factor is None else times * factor
            _count(graph._get_function(inner).graph, repeated, owners, found)
            continue
        cost = _cost(operation)
        owner = owners.get((graph.name, operation.name))
        if cost == 0 or owner is None:
            continue
        before = found[owner]
        unknown = cost is None or times is None or before is None
        found[owner] = None if unknown else before + cost * times  # type: ignore[operator]


def _inside(operation: Any) -> tuple[str, int | None]:
    """The function that an operation calls, and how often."""
    if operation.type in ("While", "StatelessWhile"):
        most = tf.get_static_value(operation.inputs[1])  # maximum_iterations of tf.while_loop
        return operation.get_attr("body").name, None if most is None or most < 0 else int(most)
    if operation.type in ("PartitionedCall", "StatefulPartitionedCall"):
        return operation.get_attr("f").name, 1
    if operation.type in ("If", "StatelessIf"):
        return operation.get_attr("else_branch").name, 1  # the other is that of an empty batch
    return "", 1


def _cost(operation: Any) -> int | None:
    kind = operation.type
    if kind == "Einsum":
        return _einsum(operation)
    if kind in ("MatMul", "BatchMatMulV2", "BatchMatMul", "BatchMatMulV3"):
        adjoint = "transpose_a" if kind == "MatMul" else "adj_x"
        axis = -2 if operation.get_attr(adjoint) else -1
        return _product([*_sizes(operation.outputs[0]), _sizes(operation.inputs[0])[axis]])
    if kind in ("Conv2D", "Conv3D"):
        kernel = _sizes(operation.inputs[1])
        return _product([*_sizes(operation.outputs[0]), *kernel[:-1]])
    if kind == "DepthwiseConv2dNative":
        return _product([*_sizes(operation.outputs[0]), *_sizes(operation.inputs[1])[:2]])
    if kind in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):  # a transposed convolution
        kernel, given = _sizes(operation.inputs[1]), _sizes(operation.inputs[2])
        return _product([*given, *kernel[:-1]])
    return 0


def _einsum(operation: Any) -> int | None:
    left = operation.get_attr("equation").decode().partition("->")[0].split(",")
    sizes: dict[str, int | None] = {}
    for letters, tensor in zip(left, operation.inputs, strict=True):
        sizes |= dict(zip(letters, _sizes(tensor), strict=False))
    return _product(list(sizes.values())) if len(left) > 1 else 0


def _sizes(tensor: tf.Tensor) -> list[int | None]:
    return tensor.shape.as_list() if tensor.shape.rank is not None else [None]


def _product(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None
