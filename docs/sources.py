"""Classes, functions and values of the library as they stand in its sources."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Thing:
    """A class or function, where it is defined."""

    module: str  # layers.dense
    node: ast.ClassDef | ast.FunctionDef

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def doc(self) -> str:
        return inspect.cleandoc(ast.get_docstring(self.node, clean=False) or "")

    @property
    def base(self) -> Thing | None:
        """The first base class that is the project's."""
        if isinstance(self.node, ast.FunctionDef):
            return None
        names = [base.id for base in self.node.bases if isinstance(base, ast.Name)]
        return next((found for name in names if (found := find(self.module, name))), None)

    @property
    def is_layer(self) -> bool:
        return self.base is not None and (self.base.name == "Layer" or self.base.is_layer)

    def method(self, name: str) -> ast.FunctionDef | None:
        return next((m for m in self.methods() if m.name == name), None)

    def methods(self) -> list[ast.FunctionDef]:
        return [node for node in self.node.body if isinstance(node, ast.FunctionDef)]


@cache
def tree(module: str) -> ast.Module:
    path = PROJECT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def find(module: str, name: str) -> Thing | None:
    """What ``name`` means in ``module``, followed through imports within ``layers``."""
    for node in tree(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Thing(module, node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("layers"):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return find(node.module or "", alias.name)
    return None


def value_of(module: str, name: str) -> ast.expr | None:
    """What the module assigns to ``name``."""
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node.value
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            return node.value
    return None


def public(module: str) -> list[Thing]:
    """What a package exports, in the order in which it imports it."""
    exported = value_of(module, "__all__")
    names = set(ast.literal_eval(exported)) if exported is not None else set()
    imports = [node for node in tree(module).body if isinstance(node, ast.ImportFrom)]
    order = [alias.name for node in imports for alias in node.names if alias.name in names]
    found = [thing for name in order if (thing := find(module, name))]
    return sorted(found, key=lambda thing: [node.module for node in imports].index(thing.module))


def parameters(thing: Thing) -> dict[str, str | None]:
    """Arguments of the constructor by name, with their defaults as written; not ``options``."""
    init = thing.method("__init__")
    if thing.name == "Layer":
        return {}
    if init is None:
        return parameters(thing.base) if thing.base else {}
    given = init.args.args[1:] + init.args.kwonlyargs
    defaults = [None] * (len(init.args.args) - 1 - len(init.args.defaults))
    defaults += [*init.args.defaults, *init.args.kw_defaults]
    found = {
        argument.arg: None if default is None else _default(thing.module, default)
        for argument, default in zip(given, defaults, strict=True)
    }
    if thing.base and init.args.kwarg:
        # **options reaches the base class, but for what is passed to it by name or position.
        calls = [node for node in ast.walk(init) if isinstance(node, ast.Call)]
        [call] = [call for call in calls if ast.unparse(call.func) == "super().__init__"]
        passed = {keyword.arg for keyword in call.keywords}
        inherited = list(parameters(thing.base).items())[len(call.args) :]
        found |= {name: default for name, default in inherited if name not in passed | {*found}}
    return found


def arguments_of(function: ast.FunctionDef) -> list[str]:
    """Arguments with types and defaults, as written."""
    given = function.args
    plain = [f"{a.arg}: {ast.unparse(a.annotation)}" for a in given.args if a.annotation]
    defaults = [""] * (len(plain) - len(given.defaults))
    defaults += [f" = {_default('', node)}" for node in given.defaults]
    found = [name + default for name, default in zip(plain, defaults, strict=True)]
    if given.vararg:
        found.append(f"*{given.vararg.arg}")
    elif given.kwonlyargs:
        found.append("*")
    for a, node in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        default = "" if node is None else f" = {_default('', node)}"
        found.append(f"{a.arg}: {ast.unparse(a.annotation) if a.annotation else 'Any'}{default}")
    return found


def _default(module: str, node: ast.expr) -> str:
    if module and isinstance(node, ast.Name):
        node = value_of(module, node.id) or node
    return ast.unparse(node).replace("'", '"')
