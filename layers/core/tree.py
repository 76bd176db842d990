"""What a module holds: its variables and the modules below it, with the names they go by.

A name is the attribute that holds a thing; inside a mapping or a sequence, ``attribute/key``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import tensorflow as tf

Item: TypeAlias = tf.Variable | tf.Module


def join(path: str, name: str) -> str:
    """``path/name``, without a slash where ``path`` is the root."""
    return f"{path}/{name}" if path else name


def walk(
    root: tf.Module, into: Callable[[tf.Module], bool] = lambda module: True
) -> Iterator[tuple[str, Item]]:
    """All below ``root`` with its path, depth first, each module once.

    Enters the modules for which ``into`` holds. Variables held twice are given twice.
    """
    seen = {id(root)}

    def visit(module: tf.Module, path: str) -> Iterator[tuple[str, Item]]:
        # A layer may choose the names: in a Stack they are the keys alone.
        held = getattr(type(module), "_held", attributes)
        for name, item in held(module):
            place = join(path, name)
            if isinstance(item, tf.Module):
                if id(item) in seen:
                    continue
                seen.add(id(item))
            yield place, item
            if isinstance(item, tf.Module) and into(item):
                yield from visit(item, place)

    yield from visit(root, "")


def attributes(module: tf.Module) -> Iterator[tuple[str, Item]]:
    """Variables and modules in the attributes of ``module``, in the order they were assigned."""
    for attribute, value in vars(module).items():
        if not attribute.startswith("_self_"):  # TensorFlow's own record of the same things
            yield from leaves(attribute, value)


def leaves(name: str, value: Any) -> Iterator[tuple[str, Item]]:
    """Variables and modules in ``value``, which may be one, or nested mappings and sequences."""
    if isinstance(value, Item):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(join(name, str(key)), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(join(name, str(index)), item)
