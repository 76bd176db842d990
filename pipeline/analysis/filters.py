"""Which runs are meant: ``metrics.val/accuracy > 0.97 and optimizer.name = 'adam'``.

The grammar, of which words are read as SQL reads them::

    or         := and ("or" and)*
    and        := not ("and" not)*
    not        := "not" not | "(" or ")" | comparison
    comparison := key operator value | key ["not"] "in" "(" value ("," value)* ")"
                | key ["not"] "like" value
    operator   := "=" | "==" | "!=" | ">" | ">=" | "<" | "<="

A key is ``metrics.…``, ``params.…`` (a config key, which may also stand alone), ``tags.…``, or one
of ``ATTRIBUTES``. What holds a space or a sign is quoted: a value in quotes, a key in backticks.
Numbers are compared as numbers, everything else as text. A run that lacks the key fits no
comparison, neither ``=`` nor ``!=``.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from pipeline.errors import ConfigError, did_you_mean, did_you_mean_key
from pipeline.tracking.runs import Run

Value = str | float | None
Condition = Callable[[Run], bool]

OPERATORS: dict[str, Callable[..., bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
WORDS = ("and", "or", "not", "in", "like")


def duration(run: Run) -> float | None:
    """Seconds from a run's start to its end; None while it runs."""
    if run.start is None or run.end is None:
        return None
    return (run.end - run.start) / 1000


def start(run: Run) -> str | None:
    """When a run began, in UTC: 2026-03-01T12:00:00."""
    if run.start is None:
        return None
    return datetime.fromtimestamp(run.start / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


ATTRIBUTES: dict[str, Callable[[Run], Value]] = {
    "run_id": lambda run: run.run_id,
    "name": lambda run: run.name,
    "experiment": lambda run: run.experiment,
    "status": lambda run: run.status,
    "start": start,
    "duration": duration,
}


class Keys:
    """What can be asked of these runs, and the reading of it."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)

    @cached_property
    def params(self) -> set[str]:
        return {key for run in self._runs for key in run.params}

    @cached_property
    def metrics(self) -> set[str]:
        return {key for run in self._runs for key in run.metrics}

    @cached_property
    def tags(self) -> set[str]:
        return {key for run in self._runs for key in run.tags}

    def reader(self, key: str) -> Callable[[Run], Value]:
        """What reads ``key`` of a run; None where a run lacks it.

        Raises:
            ConfigError: none of the runs has such a key; the nearest are named.
        """
        kind, _, rest = key.partition(".")
        if kind == "metrics":
            self._require(rest, self.metrics, "metric")
            return lambda run: run.metrics.get(rest)
        if kind == "tags":
            self._require(rest, self.tags, "tag")
            return lambda run: run.tags.get(rest)
        if kind == "params":
            self._require(rest, self.params, "config key")
            return lambda run: run.params.get(rest)
        if key in ATTRIBUTES:
            return ATTRIBUTES[key]
        if key in self.params:
            return lambda run: run.params.get(key)
        if key in self.metrics:
            return lambda run: run.metrics.get(key)
        known = {*self.params, *ATTRIBUTES}
        known |= {f"metrics.{name}" for name in self.metrics}
        known |= {f"tags.{name}" for name in self.tags}
        raise ConfigError(f"none of the runs has {key!r}. {did_you_mean_key(key, known)}")

    def _require(self, name: str, known: set[str], what: str) -> None:
        if name not in known:
            near = did_you_mean if what == "metric" else did_you_mean_key
            raise ConfigError(f"none of the runs has the {what} {name!r}. {near(name, known)}")


def parse(text: str, runs: Iterable[Run]) -> Condition:
    """The condition that ``text`` states, for ``runs``, whose keys it may name.

    Raises:
        ConfigError: it cannot be read; the place is shown.
    """
    return _Parser(text, Keys(runs)).parse()


def number(value: Value) -> float | None:
    """``value`` as a number, where it is one: a config holds 1e-3 and 0.001 as text."""
    if value is None or isinstance(value, float):
        return value
    try:
        return float(value)
    except ValueError:
        return None


# Reading -----------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<quoted>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")
      | (?P<sign>[<>=!]=? | [(),])
      | (?P<word>(?:[^\s<>=!(),'"`] | `[^`]*`)+)
      | (?P<open>['"`])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Token:
    kind: str  # quoted | sign | word | end
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


class _Parser:
    def __init__(self, text: str, keys: Keys) -> None:
        self.text = text
        self.keys = keys
        self.tokens = self._tokens()
        self.next = 0

    def parse(self) -> Condition:
        condition = self._or()
        if self._peek.kind != "end":
            quote = " A value that holds a space is quoted." if self._peek.kind == "word" else ""
            raise self._error(f"expected `and`, `or` or the end.{quote}")
        return condition

    def _or(self) -> Condition:
        return self._joined(self._and, "or", any)

    def _and(self) -> Condition:
        return self._joined(self._not, "and", all)

    def _joined(
        self, part: Callable[[], Condition], word: str, join: Callable[[Iterable[bool]], bool]
    ) -> Condition:
        parts = [part()]
        while self._peek.is_word(word):
            self._take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else lambda run: join(each(run) for each in parts)

    def _not(self) -> Condition:
        if self._peek.is_word("not"):
            self._take()
            inner = self._not()
            return lambda run: not inner(run)
        if self._peek.text == "(" and self._peek.kind == "sign":
            self._take()
            inner = self._or()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        token = self._peek
        if token.kind != "word" or token.is_word(*WORDS):
            raise self._error("expected a key, such as metrics.val/accuracy or optimizer.name.")
        self._take()
        try:
            read = self.keys.reader(token.text.replace("`", ""))
        except ConfigError as error:
            raise self._error(str(error), token) from None
        negated = self._peek.is_word("not")
        if negated:
            self._take()
        if self._peek.is_word("in"):
            self._take()
            values = self._values()
            return lambda run: _compared(
                read(run), lambda v: any(_holds(operator.eq, v, o) for o in values) != negated
            )
        if self._peek.is_word("like"):
            self._take()
            pattern = _like(self._value())
            return lambda run: _compared(
                read(run), lambda v: bool(pattern.fullmatch(_text(v))) != negated
            )
        sign = self._peek
        if negated or sign.text not in OPERATORS or sign.kind != "sign":
            among = "`in` or `like`" if negated else "one of = != > >= < <=, `in` or `like`"
            raise self._error(f"expected {among} after {token.text}.")
        self._take()
        value = self._value()
        holds = OPERATORS[sign.text]
        return lambda run: _compared(read(run), lambda v: _holds(holds, v, value))

    def _values(self) -> list[str]:
        self._expect("(")
        values = [self._value()]
        while self._peek.text == "," and self._peek.kind == "sign":
            self._take()
            values.append(self._value())
        self._expect(")")
        return values

    def _value(self) -> str:
        token = self._peek
        if token.kind not in ("word", "quoted") or token.is_word(*WORDS):
            raise self._error("expected a value: a number, a word, or text in quotes.")
        self._take()
        if token.kind == "quoted":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        return token.text

    def _expect(self, sign: str) -> None:
        if self._peek.text != sign or self._peek.kind != "sign":
            raise self._error(f"expected `{sign}`.")
        self._take()

    @property
    def _peek(self) -> _Token:
        return self.tokens[self.next]

    def _take(self) -> None:
        self.next += 1

    def _tokens(self) -> Sequence[_Token]:
        found, at, end = [], 0, len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            assert match is not None  # `word` or `open` fits
            assert match.lastgroup is not None
            token = _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
            if token.kind == "open":
                raise self._error(f"this {token.text} is not closed.", token)
            found.append(token)
            at = match.end()
        return [*found, _Token("end", "", end)]

    def _error(self, problem: str, token: _Token | None = None) -> ConfigError:
        at = (token or self._peek).at
        return ConfigError(f"the filter cannot be read: {problem}\n  {self.text}\n  {' ' * at}^")


def _compared(value: Value, holds: Callable[[str | float], bool]) -> bool:
    return value is not None and holds(value)


def _holds(compare: Callable[..., bool], value: str | float, other: str) -> bool:
    """As numbers where both are; NaN, as ever, is neither equal to anything nor less or more."""
    a, b = number(value), number(other)
    if a is not None and b is not None:
        return not (math.isnan(a) or math.isnan(b)) and compare(a, b)
    return compare(_text(value), other)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


def _like(pattern: str) -> re.Pattern[str]:
    """SQL's patterns: ``%`` is any text, ``_`` any one character."""
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in pattern), re.DOTALL)
