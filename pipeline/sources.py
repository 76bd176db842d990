"""Python sources, followed by name without importing them.

A module is found the way the import system would find it and parsed; names are followed through
re-exports, aliases, relative and star imports, and base classes. Nothing here imports what it
looks at, or raises.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_DEPTH = 30  # re-exports and bases are followed no further: sources may be circular


@dataclass(frozen=True)
class Module:
    """A module or package, whether or not its source can be read."""

    name: str
    file: Path | None  # None: a namespace package or not Python source
    search: tuple[str, ...] | None  # where submodules are; None: not a package


@dataclass(frozen=True)
class Definition:
    """A statement of ``module`` that defines something; ``ast.Pass``: no more is known."""

    module: Module
    node: ast.AST


@dataclass(frozen=True)
class Missing:
    """A dotted name that leads nowhere: ``where`` has no ``name``, but it has ``valid``."""

    where: str  # "" when there is no such top-level module
    name: str
    valid: list[str] = field(default_factory=list)


Thing = Module | Definition


def follow(target: str) -> Thing | Missing:
    """What ``package.module.Class.method`` leads to."""
    parts = target.split(".")
    thing: Thing | None = module_of(parts[0])
    if thing is None:
        return Missing("", parts[0])
    for at, part in enumerate(parts[1:], start=1):
        inner = _member(thing, part)
        if inner is None:
            return Missing(".".join(parts[:at]), part, sorted(names(thing)))
        thing = inner
    return thing


def literal_words(target: str) -> list[str]:
    """The strings of a literal in a module or class: a tuple's or list's, or the keys of a dict."""
    owner, _, name = target.rpartition(".")
    thing = follow(owner)
    if isinstance(thing, Module):
        value = getattr(bindings(thing).get(name), "value", None)
    else:
        values = _class_values(thing, name) if isinstance(thing, Definition) else iter(())
        value = next(values, None)
    nodes = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [])
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _class_values(cls: Definition, name: str) -> Iterator[ast.expr | None]:
    """What the class and its bases give to ``name``, the nearest first."""
    for definition in lineage(cls):
        for node in getattr(definition.node, "body", []):
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                yield getattr(node, "value", None)


def fault(target: str) -> str:
    """Where a module that ``target`` goes through is not valid Python; empty where all are."""
    parts = target.split(".")
    for end in range(1, len(parts) + 1):
        module = module_of(".".join(parts[:end]))
        file = module.file if module else None
        try:
            if file:
                _parsed(file, file.stat().st_mtime_ns)
        except SyntaxError as error:
            return f"{file}, line {error.lineno}: not valid Python: {error.msg}"
        except (OSError, ValueError, RecursionError):
            return ""
    return ""


# Modules -----------------------------------------------------------------------------------------


def module_of(name: str) -> Module | None:
    parent, _, leaf = name.rpartition(".")
    try:
        if parent:
            package = module_of(parent)
            if package is None or package.search is None:
                return None
            spec = importlib.machinery.PathFinder.find_spec(name, list(package.search))
        else:
            spec = importlib.util.find_spec(leaf)  # of a top-level name: imports nothing
    except (ImportError, ValueError, AttributeError, TypeError):
        return None
    if spec is None:
        return None
    source = spec.origin if spec.origin and spec.origin.endswith(".py") else None
    search = spec.submodule_search_locations
    return Module(name, Path(source) if source else None, None if search is None else (*search,))


def bindings(module: Module) -> dict[str, ast.AST]:
    """Name -> the statement that binds it at the module's top level; the last one counts."""
    try:
        return _parsed(module.file, module.file.stat().st_mtime_ns) if module.file else {}
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}


@cache
def _parsed(file: Path, mtime_ns: int) -> dict[str, ast.AST]:
    """``mtime_ns`` is in the key so that a source edited in a notebook session is read again."""
    source = file.read_bytes()
    tree = ast.parse(source)
    bound: dict[str, ast.AST] = {}
    if any(trick in source for trick in (b"setattr(", b"globals()", b"sys.modules")):
        bound["__getattr__"] = ast.Pass()  # names may be bound in ways that are not seen here
    for node in _flat(tree.body):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            bound[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                bound[f"*{id(alias)}" if name == "*" else name] = _one(node, alias)
        elif isinstance(node, ast.Assign):
            bound.update((t.id, node) for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            bound[node.target.id] = node
    return bound


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements, those under ``if``, ``try`` and ``with`` too."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if isinstance(node, (ast.If, ast.Try, ast.With)):
                yield from _flat(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _flat(handler.body)


def _one(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.AST:
    if isinstance(node, ast.Import):
        return ast.Import(names=[alias])
    return ast.ImportFrom(module=node.module, names=[alias], level=node.level)


# Members -----------------------------------------------------------------------------------------


def _member(thing: Thing, name: str, depth: int = 0) -> Thing | None:
    if depth > _DEPTH:
        return None
    if isinstance(thing, Definition):
        return _attribute(thing, name, depth)
    bound = bindings(thing)
    if name in bound:
        return _bound(thing, bound[name], depth + 1)
    submodule = module_of(f"{thing.name}.{name}")
    if submodule is not None:
        return submodule
    for key, node in bound.items():
        if key.startswith("*") and not name.startswith("_"):
            source = _source(thing, node)
            found = source and _member(source, name, depth + 1)
            if found:
                return found
    opaque = thing.file is None and thing.search is None  # compiled: anything may be in it
    return Definition(thing, ast.Pass()) if opaque or "__getattr__" in bound else None


def _attribute(owner: Definition, name: str, depth: int) -> Thing | None:
    """``Class.method``; of what is not a class, nothing is known."""
    if not isinstance(owner.node, ast.ClassDef):
        return Definition(owner.module, ast.Pass())
    for definition in lineage(owner, depth):
        if not isinstance(definition.node, ast.ClassDef):
            return Definition(definition.module, ast.Pass())  # an unknown base may have it
        for node in definition.node.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
                return Definition(definition.module, node)
    return None


def _bound(module: Module, node: ast.AST, depth: int) -> Thing | None:
    """What the statement ``node`` of ``module`` binds."""
    if isinstance(node, ast.Import):
        alias = node.names[0]
        name = alias.name if alias.asname else alias.name.split(".")[0]
        return module_of(name) or Definition(Module(name, None, None), ast.Pass())
    if isinstance(node, ast.ImportFrom):
        source = _source(module, node)
        if source is None:
            return Definition(Module(_absolute(module, node), None, None), ast.Pass())
        found = _member(source, node.names[0].name, depth)
        return found or Definition(source, ast.Pass())
    if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Name, ast.Attribute)):
        return _expression(module, node.value, depth + 1) or Definition(module, node)
    return Definition(module, node)


def _source(module: Module, node: ast.AST) -> Module | None:
    return module_of(_absolute(module, node)) if isinstance(node, ast.ImportFrom) else None


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    keep = len(parts) - node.level + (1 if module.search is not None else 0)
    return ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])


def _expression(module: Module, node: ast.AST, depth: int) -> Thing | None:
    """What ``name`` or ``a.b.c`` means in the scope of ``module``."""
    if depth > _DEPTH:
        return None
    if isinstance(node, ast.Subscript):  # Base[T]
        return _expression(module, node.value, depth)
    if isinstance(node, ast.Attribute):
        owner = _expression(module, node.value, depth + 1)
        return _member(owner, node.attr, depth + 1) if owner else None
    return _member(module, node.id, depth + 1) if isinstance(node, ast.Name) else None


def names(thing: Thing) -> set[str]:
    if isinstance(thing, Definition):
        body = getattr(thing.node, "body", []) if isinstance(thing.node, ast.ClassDef) else []
        return {n.name for n in body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"}
    bound = bindings(thing)
    listed = getattr(bound.get("__all__"), "value", None)
    if isinstance(listed, (ast.List, ast.Tuple)):
        return {str(e.value) for e in listed.elts if isinstance(e, ast.Constant)}
    own = (ast.ClassDef, ast.FunctionDef)
    names = {name for name, node in bound.items() if isinstance(node, own) and name[0] != "_"}
    for folder in thing.search or ():
        for path in Path(folder).glob("*"):
            if path.suffix == ".py" or (path / "__init__.py").exists():
                names.add(path.stem)
    return {name for name in names if not name.startswith("_")}


def lineage(cls: Definition, depth: int = 0) -> Iterator[Definition]:
    """The class and its bases, left first; an unknown base comes as what is not a class."""
    yield cls
    if not isinstance(cls.node, ast.ClassDef) or depth > _DEPTH:
        return
    for base in cls.node.bases:
        if leaf(base) in {"object", "ABC", "Generic", "Protocol"}:
            continue
        found = _expression(cls.module, base, depth + 1)
        if isinstance(found, Definition):
            yield from lineage(found, depth + 1)
        else:
            yield Definition(cls.module, ast.Pass())


def leaf(node: ast.AST) -> str:
    """``dataclass`` of ``@dataclasses.dataclass(frozen=True)``."""
    if isinstance(node, (ast.Call, ast.Subscript)):
        return leaf(node.func if isinstance(node, ast.Call) else node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
