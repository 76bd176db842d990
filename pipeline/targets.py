"""Checks of ``_target_`` trees against the sources of what they name, without importing it.

A target must exist, come from a package that is trusted, be given arguments that it has, all that
it needs, and values of the types and ranges that it says. A config from a stranger can thereby
name layers and the project's own parts, and nothing else unless the user allows it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from pipeline import signatures, sources
from pipeline.durations import Duration
from pipeline.errors import ConfigError, did_you_mean, nearest
from pipeline.intervals import describe, outside

OWN = ("layers", "pipeline")
HYDRA_KEYS = {"_target_", "_convert_", "_recursive_", "_args_", "_partial_"}

# A value that is known only later (an interpolation of what the data will say): never wrong here.
UNKNOWN = object()

# In the project's own parts a name of an argument means one thing everywhere.
_RANGES = {
    "learning_rate": "(0, inf)",
    "weight_decay": "[0, inf)",
    "momentum": "[0, 1)",
    "beta_1": "[0, 1)",
    "beta_2": "[0, 1)",
    "epsilon": "[0, inf)",
    "decay": "(0, 1]",
    "final": "[0, 1]",
    "factors": "[0, inf)",
    "label_smoothing": "[0, 1)",
    "rate": "[0, 1)",
    "units": "[1, inf)",
    "filters": "[1, inf)",
    "vocabulary": "[1, inf)",
    "kernel_size": "[1, inf)",
    "strides": "[1, inf)",
    "dilation": "[1, inf)",
    "groups": "[1, inf)",
    "depth_multiplier": "[1, inf)",
    "size": "[1, inf)",
    "strength": "[0, inf)",
    "times": "[1, inf)",
    "heads": "[1, inf)",
    "head_units": "[1, inf)",
    "key_value_heads": "[1, inf)",
    "length": "[1, inf)",
    "dropout": "[0, 1)",
    "drop_path": "[0, 1)",
}
_PERIODS = {"warmup", "every", "boundaries"}
_DTYPES = ["float32", "bfloat16", "float16", "float64"]

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "None": "null",
    "list": "a list",
    "dict": "a mapping",
    "Layer": "a layer (a mapping with _target_)",
    "Callable": "a function (a mapping with _target_)",
}
_LISTS = {"list", "List", "Sequence", "tuple", "Tuple", "Iterable", "Collection"}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}


def check(node: Any, path: str, trusted: Sequence[str]) -> Iterator[str]:
    """The problems of a tree of plain dicts, lists and scalars, one line each."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield from _check_node(node, path, trusted)
        for key, value in node.items():
            yield from check(value, f"{path}.{key}", trusted)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from check(value, f"{path}.{index}", trusted)


def require_target(node: Any, path: str, example: str) -> Iterator[str]:
    """A line unless ``node`` is a mapping that names something with ``_target_``."""
    if node is UNKNOWN or (isinstance(node, dict) and "_target_" in node):
        return
    if isinstance(node, dict):
        close = nearest("_target_", node, most=1)
        hint = f"did you mean '_target_' by {close[0]!r}?" if close else f"write {example}"
        yield f"{path}: a mapping without _target_ names nothing; {hint}"
    else:
        given = _shown(node)
        yield f"{path}: {given} is given; a mapping with _target_ is expected; write {example}"


def _check_node(node: dict[str, Any], path: str, trusted: Sequence[str]) -> Iterator[str]:
    target, where = node["_target_"], f"{path}._target_"
    if target is UNKNOWN:
        return
    if not isinstance(target, str) or not target.strip("."):
        yield f"{where}: {target!r} is not a dotted name; write one such as layers.Dense"
        return
    found = signatures.find(target)
    refusal = _refusal(target, found, trusted)
    if refusal:
        yield f"{where}: {refusal}"
        return
    if isinstance(found, sources.Missing):
        yield f"{where}: {_missing(found, target)}"
        return
    if found.kind == "module":
        names = signatures.public_names(target)
        yield f"{where}: {target} is a module; name something in it. Valid: {', '.join(names[:12])}"
        return
    given = {key: value for key, value in node.items() if key not in HYDRA_KEYS}
    if found.signature is not None:
        yield from _check_arguments(node, given, found.signature, target, path)
    if found.module.split(".")[0] in OWN:
        for key, value in given.items():
            yield from _check_value(key, value, f"{path}.{key}", found.module)


# What may be named -------------------------------------------------------------------------------


def is_trusted(name: str, trusted: Sequence[str]) -> bool:
    """Whether ``name`` is one of, or lies in one of, ``trusted`` and the project's own packages."""
    return any(name == package or name.startswith(f"{package}.") for package in (*OWN, *trusted))


def _refusal(
    target: str, found: signatures.Found | sources.Missing, trusted: Sequence[str]
) -> str | None:
    root = target.split(".")[0]
    if any(part.startswith("_") for part in target.split(".")):
        return f"{target!r} names something private; only public names may be named"
    if is_trusted(target, trusted) and root not in OWN:
        return None
    if root not in OWN:
        if "." not in target:
            return f"{target!r} has no package. {did_you_mean(f'layers.{target}', _own_names())}"
        close = nearest(root, OWN, most=1)
        if close and isinstance(found, sources.Missing) and not found.where:
            return f"there is no package {root!r}. Did you mean '{close[0]}'?"
        return (
            f"{target!r} is not in a trusted package (layers, pipeline"
            + "".join(f", {name}" for name in trusted)
            + f"); if you trust it, add trusted_packages=[{root}] to the command line"
        )
    if isinstance(found, sources.Missing) or found.kind == "module":
        return None
    # `layers.dense.tf.io.write_file`: the name starts at home and leads abroad.
    if found.module.split(".")[0] not in OWN:
        return f"{target!r} leads into {found.module}, which is not a trusted package"
    if found.kind == "unknown":
        return f"{target!r} is not a class or a function; name one"
    return None


def _own_names() -> list[str]:
    return [f"layers.{name}" for name in signatures.public_names("layers")]


def _missing(missing: sources.Missing, target: str) -> str:
    if not missing.where:
        return f"there is no package {missing.name!r}; install it, or correct {target!r}"
    if wrong := sources.fault(target):
        return f"{missing.where} has no {missing.name!r} that could be read: {wrong}"
    return f"{missing.where} has no {missing.name!r}. {did_you_mean(missing.name, missing.valid)}"


# Arguments ---------------------------------------------------------------------------------------


def _check_arguments(
    node: dict[str, Any],
    given: dict[str, Any],
    signature: signatures.Signature,
    target: str,
    path: str,
) -> Iterator[str]:
    short = target.split(".")[-1]
    for key, value in given.items():
        parameter = signature.parameters.get(key)
        if parameter is not None:
            for at, wrong, expected in _mismatches(parameter.annotation, value, f"{path}.{key}"):
                yield f"{at}: {_shown(wrong)} is given; {expected} is expected"
        elif not signature.accepts_any:
            advice = did_you_mean(key, signature.parameters)
            yield f"{path}.{key}: {short} takes no {key!r}. {advice}"
    if node.get("_args_") or node.get("_partial_"):
        return
    for key, parameter in signature.parameters.items():
        if parameter.required and key not in given:
            yield f"{path}.{key}: {short} needs it and it is not given; add {path}.{key}=…"


def _check_value(key: str, value: Any, path: str, module: str) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            interval = _RANGES.get(key)
            if isfinite(item) and interval and outside(item, interval):
                yield f"{path}: {item} is out of range; a number {describe(interval)} is expected"
        if not isinstance(item, str):
            continue
        if module.startswith("pipeline.training.schedules") and key in _PERIODS:
            yield from period_problem(item, path)
        names = _valid_names(key) if module.split(".")[0] == "layers" else []
        if names and item not in names:
            kind = key.replace("_", " ")
            yield f"{path}: there is no {kind} {item!r}. {did_you_mean(item, names)}"


def _valid_names(key: str) -> list[str]:
    """The words that a layer's argument of this name may be; empty: any."""
    if key == "function" or key.split("_")[-1] == "activation":
        return sources.literal_words("layers.activations.NAMED")
    if key.split("_")[-1] == "initializer":
        return sources.literal_words("layers.initializers.NAMED")
    if key == "join":
        return sources.literal_words("layers.containers.JOINS")
    if key == "loss":
        return sources.literal_words("layers.losses.NAMED")
    return _DTYPES if key in ("compute_dtype", "param_dtype") else []


def period_problem(text: object, path: str, percent: bool = True) -> Iterator[str]:
    """A line unless ``text`` is a duration."""
    try:
        Duration.parse(text, percent)
    except ConfigError as error:
        yield f"{path}: {error}"


# Types -------------------------------------------------------------------------------------------


def _mismatches(annotation: str | None, value: Any, path: str) -> list[tuple[str, Any, str]]:
    """Where ``value`` does not fit: (path, value there, what is expected there)."""
    if annotation is None:
        return []
    try:
        return _compare(ast.parse(annotation.strip(), mode="eval").body, value, path)
    except (SyntaxError, ValueError, RecursionError):
        return []


def _compare(kind: ast.expr, value: Any, path: str) -> list[tuple[str, Any, str]]:
    if value is UNKNOWN or (isinstance(value, dict) and "_target_" in value):
        return []
    options = _options(kind)
    if len(options) > 1:
        results = [_compare(option, value, path) for option in options]
        if any(not result for result in results):
            return []
        # A list whose one element is wrong: say which, rather than that the list is.
        inner = [r for r in results if all(at != path for at, _, _ in r)]
        return inner[0] if inner else [(path, value, _expected(kind))]
    base, inside = _leaf(kind), _inside(kind)
    wrong = [(path, value, _expected(kind))]
    if base in _LISTS:
        if not isinstance(value, list):
            return wrong
        fixed = base in ("tuple", "Tuple") and inside and _leaf(inside[-1]) != "..."
        if fixed and len(inside) != len(value):
            return [(path, value, f"a list of {len(inside)}")]
        kinds = inside if fixed else inside[:1] * len(value)
        pairs = zip(kinds, value, strict=False)
        return [m for i, (k, v) in enumerate(pairs) for m in _compare(k, v, f"{path}.{i}")]
    if base in _MAPPINGS:
        if not isinstance(value, dict):
            return wrong
        items = value.items() if len(inside) == 2 else ()
        return [m for key, v in items for m in _compare(inside[1], v, f"{path}.{key}")]
    if base == "Literal":
        return [] if value in [e.value for e in inside if isinstance(e, ast.Constant)] else wrong
    fits = {
        "int": type(value) is int,
        "float": type(value) in (int, float),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
        "None": value is None,
        "Layer": False,
        "Callable": False,
    }
    return [] if fits.get(base, True) else wrong


def _options(kind: ast.expr) -> list[ast.expr]:
    """The alternatives of ``X | Y``, ``Union``, ``Optional``; a quoted annotation is opened."""
    if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
        return _options(ast.parse(kind.value, mode="eval").body)
    if isinstance(kind, ast.BinOp):
        return [*_options(kind.left), *_options(kind.right)]
    if isinstance(kind, ast.Subscript):
        if _leaf(kind) == "Union":
            return [option for part in _inside(kind) for option in _options(part)]
        if _leaf(kind) == "Optional":
            return [*_options(_inside(kind)[0]), ast.Constant(None)]
        if _leaf(kind) == "Annotated":
            return _options(_inside(kind)[0])
    return [kind]


def _leaf(kind: ast.expr) -> str:
    if isinstance(kind, ast.Subscript):
        return _leaf(kind.value)
    if isinstance(kind, ast.Constant):
        return "..." if kind.value is ... else str(kind.value)
    return kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")


def _inside(kind: ast.expr) -> list[ast.expr]:
    if not isinstance(kind, ast.Subscript):
        return []
    return list(kind.slice.elts) if isinstance(kind.slice, ast.Tuple) else [kind.slice]


def _expected(kind: ast.expr) -> str:
    words = []
    for option in _options(kind):
        base = _leaf(option)
        base = "list" if base in _LISTS else "dict" if base in _MAPPINGS else base
        if base == "Literal":
            words += [repr(e.value) for e in _inside(option) if isinstance(e, ast.Constant)]
        else:
            words.append(_WORDS.get(base, base))
    return " or ".join(dict.fromkeys(words))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping without _target_" if value else "an empty mapping"
    return "null" if value is None else repr(value)
