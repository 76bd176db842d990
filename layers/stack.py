"""Layers one after the other, and a path around some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from layers.core.arguments import layer_in
from layers.core.base import Layer
from layers.core.errors import LayerError, did_you_mean
from layers.core.specs import describe
from layers.core.tree import Item, attributes


class Stack(Layer):
    """Calls its layers in order, each with the output of the one before.

    Args:
        layers: a mapping, name to layer, in order. The names are the layers' paths and the keys
            by which a config overrides one (``model.layers.hidden.units=256``); ``None`` in place
            of a layer leaves it out. A sequence works too; its layers are called ``0``, ``1``, …
    """

    def __init__(
        self,
        layers: Mapping[str, Layer | None] | Sequence[Layer | None],
        **options: Any,
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

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        for layer in self.layers.values():
            x = layer(x, training=training)
        return x

    def _held(self) -> Iterator[tuple[str, Item]]:
        for name, item in attributes(self):
            yield name.removeprefix("layers/"), item  # a layer's key is its path

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers.values())

    def __getitem__(self, key: str | int | slice) -> Layer:
        """A layer by name or position; a slice is a Stack over the same layers, same paths."""
        if isinstance(key, slice):
            part = Stack(dict(list(self.layers.items())[key]))
            part._path, part._seed = self._path, self._seed
            return part
        if isinstance(key, int):
            return list(self.layers.values())[key]
        if key not in self.layers:
            raise LayerError(
                f"{self.label}: has no layer {key!r}. {did_you_mean(key, self.layers)}"
            )
        return self.layers[key]


class Residual(Layer):
    """``block(x) + shortcut(x)`` (He et al. 2016).

    Args:
        block: the layer that learns the difference.
        shortcut: ``None`` passes the input as it is, where the block keeps its shape; otherwise a
            layer that brings it to the shape of the block's output, such as a 1×1 convolution.
    """

    def __init__(self, block: Layer, shortcut: Layer | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.block = layer_in(self, "block", block)
        self.shortcut = None if shortcut is None else layer_in(self, "shortcut", shortcut)

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        y = self.block(x, training=training)
        around = x if self.shortcut is None else self.shortcut(x, training=training)
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
