"""Writes docs/layers.md, and the list of checks in docs/your-own-layer.md, from the docstrings.

    python docs/generate.py           writes them
    python docs/generate.py --check   exits with 1 and a sentence where a file is not what it writes

The sources are read, not imported: no TensorFlow is loaded, and a default stands as it is written.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import takewhile

from prose import call_of, explained, linker, markdown, row, sections_of, shapes, summary
from sources import PROJECT, Thing, arguments_of, find, parameters, public, tree, value_of

CATALOGUE = PROJECT / "docs" / "layers.md"
OWN_LAYER = PROJECT / "docs" / "your-own-layer.md"
LIST_OF_CHECKS = re.compile(r"(?<=<!-- checks -->\n).*?(?=<!-- end of checks -->)", re.DOTALL)

# Which files a section shows, in this order; within a file the order is that of the source.
SECTIONS = {
    "Containers": ["containers"],
    "Dense and shape": ["dense", "bias", "shape"],
    "Activation functions": ["activation"],
    "Convolution": ["convolution", "depthwise_convolution", "transposed_convolution"],
    "Pooling": ["pooling"],
    "Normalisation": ["batch_norm", "normalization", "standardize"],
    "Noise": ["noise"],
    "Tokens and positions": ["embedding", "positions"],
    "Recurrence": ["cells", "recurrent"],
    "Attention": ["attention", "transformer"],
    "State": ["stateful", "statistics"],
    "Self-training": ["self_training"],
    "Nets": ["nets"],
}
# The order of the rest: what a model is used by first.
FUNCTIONS = ["core.model", "core.summary", "core.context", "standardize", "core.roles"]
NAMED = {  # file with a table NAMED -> title, what the names are given to
    "activations": ("Activations", "activation"),
    "initializers": ("Initial values", "…_initializer"),
    "losses": ("Losses", "loss"),
}
INTRODUCTION = """\
# Layers

<!-- Written by docs/generate.py from the docstrings. Change those, then run it. -->
<!-- fmt: off -->

Every public layer with its shapes, and what all of them share. In shapes, `...` stands for any
number of axes and a prime for a size that the layer changes; one shape alone is kept. The batch
may have any size, 0 too.
How layers are written: [a dense layer](dense-layer.md), [a layer that carries
state](layer-with-state.md), [a layer that trains itself](self-training-layer.md). How a layer of
yours is proven: [your own layer](your-own-layer.md).
"""
VARIANCE_SCALING = """\
Sources: Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998. Those that are normal are drawn
again beyond two deviations, and have the variance that is said here after that.
"""
EVERYWHERE = """\
### Arguments that mean the same everywhere

- `units`, `filters`: size of the output's last axis.
- `activation`: one of the [activations](#activations) by name, a function of one tensor, or `None`.
- `…_initializer`: one of the [initial values](#initial-values) by name, or a function.
- `use_bias`, `use_scale`, `use_offset`: whether there is such a variable.
- `padding`: `valid` uses whole windows only, `same` pads so that stride 1 keeps the size.
"""


def catalogue() -> str:
    """The text of docs/layers.md."""
    things = public("layers") + public("layers.nets")
    layers = [thing for thing in things if thing.is_layer]
    placed = {title: _of_section(layers, modules) for title, modules in SECTIONS.items()}
    homeless = [t for t in layers if not any(t in members for members in placed.values())]
    if homeless:
        sys.exit(
            f"docs/generate.py: the layer {homeless[0].name} ({homeless[0].module}) belongs to no "
            "section; add its file to SECTIONS"
        )
    placed = {title: members for title, members in placed.items() if members}
    names = {thing.name for thing in things} | {"Layer"}
    parts = [INTRODUCTION, _table(placed), "## Every layer", _base(names), EVERYWHERE]
    for title, members in placed.items():
        parts += [f"## {title}", *(_layer(member, names) for member in members)]
        if title == "Nets":
            parts.append(_model_configs())
    parts += [part for module in NAMED for part in _named_values(module, names)]
    parts += _regularizers(names)
    rest = [thing for thing in things if not thing.is_layer and thing.name != "Layer"]
    rest.sort(key=lambda thing: _place(thing.module.removeprefix("layers."), FUNCTIONS))
    parts += ["## Functions", *(_function(thing, names, "layers") for thing in rest)]
    parts.append("## layers.testing")
    testing = [thing for thing in public("layers.testing") if thing.doc]
    parts += [_function(thing, names, "layers.testing") for thing in reversed(testing)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _place(name: str, order: list[str]) -> int:
    return order.index(name) if name in order else len(order)


def _of_section(layers: list[Thing], modules: list[str]) -> list[Thing]:
    def place(thing: Thing) -> tuple[int, int]:
        return _place(thing.module.split(".")[1], modules), thing.node.lineno

    return sorted((t for t in layers if t.module.split(".")[1] in modules), key=place)


def _table(placed: dict[str, list[Thing]]) -> str:
    rows = ["| layer | what it computes | shapes |", "|---|---|---|"]
    for title, members in placed.items():
        rows.append(row(f"**[{title}](#{title.lower().replace(' ', '-')})**", "", ""))
        for thing in members:
            link = f"[{thing.name}](#{thing.name.lower()})"
            rows.append(row(link, linker(set())(summary(thing)), shapes(thing)))
    return "\n".join(rows)


def _base(names: set[str]) -> str:
    base = find("layers", "Layer")
    assert base is not None
    links = linker(names, own="Layer")
    doc = sections_of(base.doc)
    parts = ["### Layer", markdown(doc[""], links), "Options of every layer's constructor:"]
    parts += [explained("Args", doc, links)]
    parts += ["What a layer [writes and uses](your-own-layer.md):"]
    rows = ["| in a layer | |", "|---|---|"]
    for method in base.methods():
        said = ast.get_docstring(method)
        if said and not method.name.startswith("_"):
            called = ", ".join(argument.arg for argument in method.args.args[1:])
            plain = any(ast.unparse(d) == "property" for d in method.decorator_list)
            form = method.name if plain else f"{method.name}({called})"
            rows.append(row(f"`{form}`", links(said.split("\n\n")[0])))
    return "\n\n".join([*parts, "\n".join(rows)])


def _layer(thing: Thing, names: set[str]) -> str:
    links = linker(names, own=thing.name)
    doc = sections_of(thing.doc)
    arguments = [n if d is None else f"{n}={d}" for n, d in parameters(thing).items()]
    path = f"{thing.module.replace('.', '/')}.py"
    parts = [
        f"### {thing.name}",
        call_of(thing.name, arguments),
        markdown(doc[""], links),
        explained("Args", doc, links),
        f"Source: [{path}](../{path})",
    ]
    return "\n\n".join(part for part in parts if part)


def _function(thing: Thing, names: set[str], package: str) -> str:
    links = linker(names, own=thing.name)
    doc = sections_of(thing.doc)
    parts = [f"### {thing.name}"]
    if isinstance(thing.node, ast.FunctionDef):
        returns = f" -> {ast.unparse(thing.node.returns)}" if thing.node.returns else ""
        parts.append(call_of(f"{package}.{thing.name}", arguments_of(thing.node), returns))
    parts += [markdown(doc[""], links)]
    parts += [explained(title, doc, links) for title in ("Args", "Raises")]
    return "\n\n".join(part for part in parts if part)


def _model_configs() -> str:
    """The nets that are configs, by the comment at their head."""
    rows = ["| `model=` | |", "|---|---|"]
    for path in sorted((PROJECT / "conf" / "model").glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        head = [line.removeprefix("#") for line in takewhile(lambda x: x.startswith("#"), lines)]
        text = " ".join("".join(head).split())
        rows.append(row(f"[{path.stem}](../conf/model/{path.name})", text))
    return "Nets that are configs, made of the layers above:\n\n" + "\n".join(rows)


def _named_values(module: str, names: set[str]) -> Iterator[str]:
    links, (title, argument) = linker(names), NAMED[module]
    module = f"layers.{module}"
    named = value_of(module, "NAMED")
    assert isinstance(named, ast.Dict)
    yield f"## {title}"
    yield markdown(ast.get_docstring(tree(module)) or "", links)
    rows = [f"| `{argument}` | |", "|---|---|"]
    for key, node in zip(named.keys, named.values, strict=True):
        assert key is not None
        rows.append(row(f"`{ast.literal_eval(key)}`", links(_meaning(module, node))))
    yield "\n".join(rows)
    functions = [node for node in tree(module).body if isinstance(node, ast.FunctionDef)]
    makers = [f for f in functions if f.returns and ast.unparse(f.returns) == "Initializer"]
    makers = [f for f in makers if ast.get_docstring(f) and f.name != "get"]
    if makers:
        calls = [f"`{module}.{f.name}({', '.join(arguments_of(f))})`" for f in makers]
        yield VARIANCE_SCALING + "\nOthers are made by " + ",\n".join(calls) + "."


def _meaning(module: str, node: ast.expr) -> str:
    """What a named value is: the docstring of its function, or how it is made."""
    function = node.func if isinstance(node, ast.Call) else node
    thing = find(module, function.id) if isinstance(function, ast.Name) else None
    if thing and thing.name == "_variance_scaling" and isinstance(node, ast.Call):
        scale, mode, distribution = (ast.literal_eval(value) for value in node.args)
        fan = {"fan_in": "fan-in", "fan_avg": "the mean of fan-in and fan-out"}[mode]
        return f"Variance {scale:g} / {fan}, {distribution}."
    return thing.doc if thing and thing.doc else f"``{ast.unparse(node)}``"


def _regularizers(names: set[str]) -> Iterator[str]:
    module, links = "layers.regularizers", linker(names)
    yield "## Regularizers"
    yield markdown(ast.get_docstring(tree(module)) or "", links)
    rows = [f"| `{module}` | |", "|---|---|"]
    for node in tree(module).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            text = sections_of(Thing(module, node).doc)[""]
            rows.append(row(f"`{node.name}(strength)`", links(text)))
    yield "\n".join(rows)


# The list of checks -------------------------------------------------------------------------


def checks() -> str:
    """A line for each of ``layers.testing.CHECKS``: its name and what it promises."""
    listed = value_of("layers.testing.checks", "CHECKS")
    assert isinstance(listed, ast.Tuple)
    lines = []
    for item in listed.elts:
        thing = find("layers.testing.checks", ast.unparse(item))
        assert thing is not None
        name = thing.name.removeprefix("check_").replace("_", " ")
        promise = " ".join(thing.doc.split("\n\n")[0].split())
        lines.append(f"- **{name}**: {linker(set())(promise)}\n")
    return "".join(lines)


def main(arguments: list[str]) -> None:
    """Write, or with ``--check`` compare."""
    wanted = {CATALOGUE: catalogue()}
    if OWN_LAYER.exists():
        page = OWN_LAYER.read_text(encoding="utf-8")
        wanted[OWN_LAYER] = LIST_OF_CHECKS.sub(lambda _: checks(), page)
    for path, text in wanted.items():
        if arguments != ["--check"]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(
                f"docs/{path.name} is not what the docstrings say; run `python docs/generate.py`"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
