"""A model card in Markdown: what a model is, what it was made of, how good it is, how to use it.

After Mitchell et al., "Model Cards for Model Reporting" (2019), as far as a run knows it. Plain
values in, text out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.analysis.accounts import Account

FENCE = "```"


@dataclass(frozen=True)
class Data:
    """The dataset. ``splits``: role, TFDS split, examples, SHA-256 of the decoded content or of a
    sample of it."""

    name: str
    version: str
    digest: str
    description: str
    homepage: str
    license: str
    splits: Sequence[tuple[str, str, int, str]]


@dataclass(frozen=True)
class ModelCard:
    """What is said of a run's model.

    Attributes:
        account: what there is to say by the task.
        facts: name -> value, the table at the head.
        training: key of the config -> value.
        architecture: columns and rows of the table of layers; ``size``: a line below it.
        metrics: ``val/…`` and ``test/…`` of the weights that are in the model.
        commands: what a command does -> the command.
        inputs: what the model takes.
    """

    title: str
    account: Account
    facts: Mapping[str, str]
    inputs: str
    data: Data
    training: Mapping[str, str]
    columns: Sequence[str]
    architecture: Sequence[Sequence[str]]
    size: str
    metrics: Mapping[str, float]
    commands: Mapping[str, str]

    def markdown(self) -> str:
        """The whole card."""
        parts = (
            self._head(),
            self._data(),
            self._training(),
            self._scores(),
            self._commands(),
            self._limits(),
        )
        return "\n".join(line for part in parts for line in part).rstrip() + "\n"

    def _head(self) -> Iterator[str]:
        yield from (f"# {self.title}", "", self.account.summary, "")
        yield from _table(("", ""), self.facts.items())
        yield from (f"- **Takes** {self.inputs}", f"- **Answers** {self.account.outputs}", "")

    def _data(self) -> Iterator[str]:
        data = self.data
        yield from ("## Data", "", f"{data.name} {data.version}. {data.description}".strip(), "")
        columns = ("role", "split", "examples", "SHA-256 of the decoded content")
        rows = [(role, f"`{name}`", f"{n:,}", f"`{sha}`") for role, name, n, sha in data.splits]
        yield from _table(columns, rows)
        yield f"- Digest of all three: `{data.digest}`"
        if data.license:
            yield f"- Licence: {_line(data.license)}"
        if data.homepage:
            yield f"- {data.homepage}"
        yield ""

    def _training(self) -> Iterator[str]:
        yield from ("## Training", "")
        yield from _table(
            ("key", "value"), ((f"`{k}`", f"`{v}`") for k, v in self.training.items())
        )
        yield from ("The whole config is the run's artifact `config.yaml`.", "", "## Layers", "")
        yield from _table(self.columns, self.architecture)
        yield from (f"{self.size}.", "")

    def _scores(self) -> Iterator[str]:
        yield from ("## Scores", "")
        names = [k.partition("/")[2] for k in self.metrics if k.startswith(("test/", "val/"))]
        rows = [
            (
                name,
                _number(self.metrics.get(f"val/{name}")),
                _number(self.metrics.get(f"test/{name}")),
            )
            for name in dict.fromkeys(names)
        ]
        yield from _table(("metric", "validation", "test"), rows)
        account = self.account
        if account.columns:
            yield from _table(account.columns, account.rows)
        for remark in account.remarks:
            yield from (remark, "")

    def _commands(self) -> Iterator[str]:
        yield from ("## Commands", "")
        for what, command in self.commands.items():
            yield from (f"{what}:", "", f"{FENCE}bash", command, FENCE, "")

    def _limits(self) -> Iterator[str]:
        yield from ("## Limits", "")
        for limit in self.account.limits:
            yield f"- {limit}"
        yield "- The scores hold for data like the test split, and for nothing else."
        yield "- The checkpoint was chosen by validation, so its validation scores flatter it."


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_cell, columns))} |"
    yield "|" + " --- |" * len(columns)
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(text: object) -> str:
    return _line(str(text)).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
