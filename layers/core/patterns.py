"""What a layer says of the variables below it, by patterns of their paths.

A pattern is a path with ``*`` (anything, slashes too), ``?`` and ``[abc]``, as the shell's, seen
from the layer that has it. Layers hand what they were given down, so that each knows what holds
for its own variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from layers.core.errors import LayerError, did_you_mean
from layers.core.tree import join


@dataclass(frozen=True)
class Pattern:
    """``glob`` as it was written, by the layer at ``base`` (``None``: not placed yet)."""

    glob: str
    value: Any = None
    base: str | None = None

    def matches(self, path: str) -> bool:
        """Whether it means the variable at ``path``, counted from the root of the model."""
        prefix = f"{self.base}/" if self.base else ""
        return path.startswith(prefix) and fnmatchcase(path[len(prefix) :], self.glob)


def matching(patterns: Iterable[Pattern], path: str) -> list[Pattern]:
    """Those of the ``patterns`` that mean ``path``."""
    return [pattern for pattern in patterns if pattern.matches(path)]


@dataclass(frozen=True)
class Choices:
    """The patterns that hold for a layer and what is below it: its own, and those from above."""

    own_freeze: tuple[str, ...]
    own_regularizers: tuple[tuple[str, Callable[..., Any]], ...]
    freeze: tuple[Pattern, ...] = ()
    regularizers: tuple[Pattern, ...] = ()

    @classmethod
    def of(
        cls,
        label: str,
        freeze: Sequence[str],
        regularizers: Mapping[str, Callable[..., Any]] | None,
    ) -> Choices:
        """From a constructor's arguments."""
        if isinstance(freeze, str) or not all(isinstance(glob, str) for glob in freeze):
            raise LayerError(
                f'{label}: freeze must be a list of patterns of paths such as ["encoder/*"]; got '
                f"{freeze!r}"
            )
        pairs = tuple(dict(regularizers or {}).items())
        for glob, regularizer in pairs:
            if not callable(regularizer):
                raise LayerError(
                    f"{label}: regularizers must map patterns of paths to functions of a weight "
                    f"such as layers.regularizers.L2(1e-4); got {regularizer!r} for {glob!r}"
                )
        return cls(tuple(freeze), tuple((str(glob), r) for glob, r in pairs))

    def at(self, path: str, above: Choices | None) -> Choices:
        """The same for a layer that stands at ``path`` below one that says ``above``."""
        freeze = tuple(Pattern(glob, base=path) for glob in self.own_freeze)
        regularizers = tuple(Pattern(glob, value, path) for glob, value in self.own_regularizers)
        if above is not None:
            freeze, regularizers = above.freeze + freeze, above.regularizers + regularizers
        return Choices(self.own_freeze, self.own_regularizers, freeze, regularizers)

    def check(self, label: str, path: str, variables: Iterable[str]) -> None:
        """Raise ``LayerError`` where a pattern of the layer at ``path`` means no variable."""
        names = list(variables)
        named = [("freeze", glob) for glob in self.own_freeze]
        named += [("regularizers", glob) for glob, _ in self.own_regularizers]
        for option, glob in named:
            if not any(Pattern(glob, base=path).matches(name) for name in names):
                below = [n.removeprefix(join(path, "")) for n in names if n.startswith(path)]
                raise LayerError(
                    f"{label}: {option} names {glob!r}, which no variable's path matches. "
                    f"{did_you_mean(glob, below)}"
                )
