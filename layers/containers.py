"""Layers made of layers: one after the other, side by side, around one another, repeated.

A mask that is given to a container (``layer(x, mask=…)``, bool ``[batch, time]``, true at the steps
that count) reaches the layers in it that take one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from layers.core.arguments import choice, layer_in, whole
from layers.core.base import Layer
from layers.core.errors import LayerError, did_you_mean
from layers.core.model import layers_of
from layers.core.specs import describe
from layers.core.tree import Item, attributes


class _Container(Layer):
    """Holds layers by name; the names are their paths."""

    def __init__(
        self, layers: Mapping[str, Layer | None] | Sequence[Layer | None], **options: Any
    ) -> None:
        super().__init__(**options)
        named: Mapping[Any, Any] = (
            layers if isinstance(layers, Mapping) else dict(enumerate(layers))
        )
        # A plain dict: variables inside Hydra's own containers would train and not be saved.
        self.layers: dict[str, Layer] = {}
        for key in named:
            name = str(key)
            if not name or "/" in name:
                raise LayerError(
                    f"{self.label}: {name!r} cannot name a layer; a name is not empty and has no /"
                )
            if named[key] is not None:
                self.layers[name] = layer_in(self, f"layers.{name}", named[key])

    @property
    def takes_mask(self) -> bool:
        return any(layer.takes_mask for layer in self.layers.values())

    def _held(self) -> Iterator[tuple[str, Item]]:
        for name, item in attributes(self):
            yield name.removeprefix("layers/"), item  # a layer's key is its path

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers.values())

    def __getitem__(self, key: str | int) -> Any:
        """A layer by name or position."""
        if isinstance(key, int):
            return list(self.layers.values())[key]
        if key not in self.layers:
            raise LayerError(
                f"{self.label}: has no layer {key!r}. {did_you_mean(key, self.layers)}"
            )
        return self.layers[key]


class Stack(_Container):
    """Calls its layers in order, each with the output of the one before.

    ``[batch, ...] -> `` what the last layer gives.

    Args:
        layers: a mapping, name to layer, in order. The names are the layers' paths and the keys
            by which a config overrides one (``model.layers.hidden.units=256``); ``None`` in place
            of a layer leaves it out. A sequence works too; its layers are called ``0``, ``1``, …
    """

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        _refuse_unused(self, mask)
        for layer in self.layers.values():
            x = _call(layer, x, training, mask)
        return x

    def __getitem__(self, key: str | int | slice) -> Any:
        """A layer by name or position; a slice is a Stack over the same layers, same paths."""
        if isinstance(key, slice):
            part = Stack(dict(list(self.layers.items())[key]))
            part._path, part._seed = self._path, self._seed
            return part
        return super().__getitem__(key)


class Repeat(Stack):
    """``times`` layers of one kind, one after the other, called ``0``, ``1``, …

    Each is a copy with weights, initial values and random numbers of its own.

    Args:
        layer: what is repeated; not built yet.
        times: how often.
    """

    def __init__(self, layer: Layer, times: int, **options: Any) -> None:
        super().__init__([], **options)
        layer_in(self, "layer", layer)
        if any(part._built for part in layers_of(layer)):
            raise LayerError(f"{self.label}: layer has been built; give it a new one")
        for index in range(whole(self, "times", times)):
            self.layers[str(index)] = copy.deepcopy(layer)


JOINS = ("add", "concat", "mean")


class Branches(_Container):
    """Gives its input to several layers side by side and joins their outputs.

    ``[batch, ...] -> `` the outputs, joined.

    Args:
        layers: a mapping, name to layer, or a sequence, as for ``Stack``.
        join: ``add`` and ``mean`` need outputs of one shape; ``concat`` puts them behind each other
            along the last axis (Szegedy et al. 2015).
    """

    def __init__(
        self,
        layers: Mapping[str, Layer | None] | Sequence[Layer | None],
        join: str = "add",
        **options: Any,
    ) -> None:
        super().__init__(layers, **options)
        self.join = choice(self, "join", join, JOINS)
        if not self.layers:
            raise LayerError(f"{self.label}: needs at least one layer")

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        _refuse_unused(self, mask)
        outputs = [self.cast(_call(layer, x, training, mask)) for layer in self]
        sizes = [y.shape[1:-1] if self.join == "concat" else y.shape[1:] for y in outputs]
        if any(y.shape.rank != outputs[0].shape.rank for y in outputs) or any(
            not size.is_compatible_with(sizes[0]) for size in sizes
        ):
            given = [f"{n}: {describe(y)}" for n, y in zip(self.layers, outputs, strict=True)]
            raise LayerError(
                f"{self.label}: outputs that differ cannot be joined by {self.join!r}: "
                + "; ".join(given)
            )
        if self.join == "concat":
            return tf.concat(outputs, -1)
        total = tf.add_n(outputs)
        return total / len(outputs) if self.join == "mean" else total


class Residual(Layer):
    """``block(x) + shortcut(x)`` (He et al. 2016): ``[batch, ...] -> [batch, ...]``.

    Args:
        block: the layer that learns the difference.
        shortcut: ``None`` passes the input as it is, where the block keeps its shape; otherwise a
            layer that brings it to the shape of the block's output, such as a 1×1 convolution.
    """

    def __init__(self, block: Layer, shortcut: Layer | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.block = layer_in(self, "block", block)
        self.shortcut = None if shortcut is None else layer_in(self, "shortcut", shortcut)

    @property
    def takes_mask(self) -> bool:
        return self.block.takes_mask or (self.shortcut is not None and self.shortcut.takes_mask)

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        _refuse_unused(self, mask)
        y = _call(self.block, x, training, mask)
        around = x if self.shortcut is None else _call(self.shortcut, x, training, mask)
        # Adding would broadcast a size of 1 without a word.
        if y.shape.rank != around.shape.rank or not y.shape[1:].is_compatible_with(
            around.shape[1:]
        ):
            raise LayerError(
                f"{self.label}: the block gives {describe(y)} and the shortcut {describe(around)}; "
                "give it a shortcut that ends in the block's shape, such as a Conv2D with "
                "kernel_size 1 and the same filters and strides, or a Dense"
            )
        return self.cast(y) + self.cast(around)


class Masked(Layer):
    """Calls a layer with the mask of its own input: true where a token is not the padding.

    ``[batch, time] integers -> `` what the layer gives.

    Args:
        layer: what takes the tokens and a mask, such as a ``Stack`` that begins with an
            ``Embedding``.
        padding: the token that only fills up.
    """

    def __init__(self, layer: Layer, padding: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.layer = layer_in(self, "layer", layer)
        self.padding = whole(self, "padding", padding, least=-(2**31))

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        self.require_rank(x, 2, "[batch, time]")
        if not x.dtype.is_integer:
            raise LayerError(f"{self.label}: expects integer tokens, got {describe(x)}")
        _refuse_unused(self.layer, x)
        return self.layer(x, training=training, mask=x != self.padding)


def _call(layer: Layer, x: tf.Tensor, training: bool, mask: tf.Tensor | None) -> tf.Tensor:
    if mask is not None and layer.takes_mask:
        return layer(x, training=training, mask=mask)
    return layer(x, training=training)


def _refuse_unused(layer: Layer, mask: tf.Tensor | None) -> None:
    if mask is not None and not layer.takes_mask:
        raise LayerError(
            f"{layer.label}: is given a mask, and no layer in it takes one, so that the steps that "
            "do not count would count"
        )
