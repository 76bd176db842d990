"""What a ``_target_`` names and takes, read from the source without importing it.

``layers`` imports TensorFlow, which takes seconds; a config is to be refused in one. What cannot
be told from the source (compiled modules, unknown decorators) is answered with
``signature=None``. Nothing here raises.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from pipeline.sources import Definition, Missing, Module, bindings, follow, leaf, lineage, names

# Decorators that leave the arguments as they are.
_PLAIN = {"dataclass", "final", "total_ordering", "staticmethod", "classmethod", "wraps", "cache"}

_KINDS = {ast.ClassDef: "class", ast.FunctionDef: "function", ast.AsyncFunctionDef: "function"}


@dataclass(frozen=True)
class Parameter:
    """One argument: the text of its annotation, if any, and whether it must be given."""

    annotation: str | None
    required: bool


@dataclass(frozen=True)
class Signature:
    """The arguments by name; ``accepts_any``: further names are taken too."""

    parameters: dict[str, Parameter]
    accepts_any: bool = False


@dataclass(frozen=True)
class Found:
    """What a dotted name leads to, and the module that defines it (not the one re-exporting it).

    ``kind``: ``module``, ``class``, ``function`` or ``unknown`` (it is there; no more is known).
    """

    kind: str
    module: str
    signature: Signature | None = None


def find(target: str) -> Found | Missing:
    """Follow ``layers.Dense`` or ``package.module.Class.method`` to what it names."""
    thing = follow(target)
    if isinstance(thing, Missing):
        return thing
    if isinstance(thing, Module):
        return Found("module", thing.name)
    try:
        signature = _signature(thing, in_class=target.count(".") > 1)
    except (RecursionError, AttributeError, ValueError):
        signature = None
    return Found(_KINDS.get(type(thing.node), "unknown"), thing.module.name, signature)


def public_names(target: str) -> list[str]:
    """The names that a module or class offers, sorted; none where it cannot be told."""
    thing = follow(target)
    return [] if isinstance(thing, Missing) else sorted(names(thing))


def _signature(thing: Definition, in_class: bool) -> Signature | None:
    node = thing.node
    if isinstance(node, ast.ClassDef):
        return _of_class(thing) if _known(node) else None
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not _known(node):
        return None
    bound = in_class and "classmethod" in {leaf(d) for d in node.decorator_list}
    parameters, rest = _arguments(thing.module, node, skip=bound)
    return Signature(parameters, rest)


def _of_class(cls: Definition) -> Signature | None:
    """``__init__``; where that takes ``**options``, also what the next base's takes."""
    parameters: dict[str, Parameter] = {}
    constructed = False
    for definition in lineage(cls):
        node = definition.node
        if not isinstance(node, ast.ClassDef):  # an unknown base
            return Signature(parameters, accepts_any=True) if constructed else None
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not inits and "dataclass" in {leaf(d) for d in node.decorator_list}:
            return Signature(_fields(cls))
        methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
        if not inits and "__new__" in methods:
            return None
        if inits:
            own, rest = _arguments(definition.module, inits[-1], skip=True)
            if constructed:  # a subclass that hands on **options may give these itself
                own = {name: Parameter(p.annotation, False) for name, p in own.items()}
            parameters = {**own, **parameters}
            constructed = True
            if not rest:
                return Signature(parameters)
    return Signature(parameters, accepts_any=constructed)


def _arguments(
    module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, skip: bool
) -> tuple[dict[str, Parameter], bool]:
    spec = node.args
    positional = [*spec.posonlyargs, *spec.args]
    first_default = len(positional) - len(spec.defaults)
    listed = [(a, at >= first_default) for at, a in enumerate(positional)][1 if skip else 0 :]
    listed += [(a, d is not None) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]
    parameters = {a.arg: Parameter(_text(module, a.annotation), not given) for a, given in listed}
    return parameters, spec.kwarg is not None


def _fields(cls: Definition) -> dict[str, Parameter]:
    """The fields of a dataclass and of the dataclasses it extends."""
    parameters: dict[str, Parameter] = {}
    for definition in reversed(list(lineage(cls))):
        for node in getattr(definition.node, "body", []):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            text = _text(definition.module, node.annotation)
            given = {}
            if isinstance(node.value, ast.Call) and leaf(node.value.func) == "field":
                given = {k.arg: k.value for k in node.value.keywords}
            init = given.get("init")
            if "ClassVar" in (text or "") or (isinstance(init, ast.Constant) and not init.value):
                continue
            default = {"default", "default_factory"} & set(given) if given else node.value
            parameters[node.target.id] = Parameter(text, not default)
    return parameters


def _text(module: Module, node: ast.expr | None) -> str | None:
    """The annotation as text; a name that the module gives to a type is replaced by the type."""
    if node is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        alias = bindings(module).get(node.id)
        if isinstance(alias, (ast.Assign, ast.AnnAssign)) and alias.value is not None:
            return ast.unparse(alias.value)
    return ast.unparse(node)


def _known(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return all(leaf(decorator) in _PLAIN for decorator in node.decorator_list)
