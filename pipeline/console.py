"""What a person sees: what will be done, how it goes, what came of it. Only this module prints.

On a terminal a live progress bar; elsewhere plain lines, at most one every few seconds.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_WIDTH = 120
PLAIN_EVERY = 2.0  # seconds between progress lines where there is no terminal


def say(text: str) -> None:
    """One line on standard output."""
    print(text, flush=True)


def complain(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr, flush=True)


def column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column of a table is whose cells are not folded."""
    from rich.cells import cell_len

    return [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]


class Console:
    """Standard output for results, in the order in which they come.

    ``name``: begins the lines of progress, where several runs may write theirs.
    """

    def __init__(self, name: str = "") -> None:
        from rich.console import Console as RichConsole  # not for a verb that only complains

        self._rich = RichConsole(highlight=False, soft_wrap=True)
        if not self._rich.is_terminal:
            self._rich.width = PLAIN_WIDTH  # a table in a file need not fit a screen
        self._name = f"{name}  " if name else ""
        self._progress: Progress | None = None
        self._shown = 0.0
        self._started = 0.0
        self._first_step = 0

    def line(self, text: str = "") -> None:
        """One plain line, without markup."""
        self._rich.print(text, markup=False)

    def said(self, text: str) -> None:
        """One line of a run, where several runs may write theirs."""
        self.line(f"{self._name}{text}")

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Aligned ``name  value`` lines."""
        width = max(len(name) for name in facts)
        for name, value in facts.items():
            self.line(f"{name:<{width}}  {value}")

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where there is none."""
        return self._rich.width if self._rich.is_terminal else None

    def drawing(self, text: str) -> None:
        """Lines that may have colours of their own."""
        from rich.text import Text

        self._rich.print(Text.from_ansi(text))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table. Columns whose cells are all numbers are right-aligned."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
        for index, column in enumerate(columns):
            numeric = all(row[index].replace(",", "").replace(".", "").isdigit() for row in rows)
            table.add_column(column, justify="right" if numeric and rows else "left")
        for row in rows:
            table.add_row(*map(Text, row))  # not markup: [batch, 64] is a shape
        self._rich.print(table)

    def whole_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of which no cell is folded or cut, however wide it is; thousands of rows do.

        Columns whose cells are all numbers, or the dash of a missing one, are right-aligned.
        """
        from rich.cells import cell_len
        from rich.text import Text

        widths = column_widths(columns, rows)
        right = [all(_is_number(row[i]) for row in rows) for i in range(len(columns))]

        def aligned(row: Sequence[str]) -> str:
            cells = []
            for cell, width, is_right in zip(row, widths, right, strict=True):
                space = " " * (width - cell_len(cell))
                cells.append(space + cell if is_right else cell + space)
            return "  ".join(cells).rstrip()

        self._rich.print(Text(aligned(columns), style="bold"))
        self._rich.print(Text("\n".join(map(aligned, rows))))

    @contextmanager
    def training(self, step: int, total: int) -> Iterator[None]:
        """Inside, training goes from ``step`` to ``total`` and ``progress`` shows it."""
        self._started = self._shown = time.monotonic()
        self._first_step = step
        if not self._rich.is_terminal:
            yield
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=self._rich,
        )
        with self._progress:
            self._bar = self._progress.add_task("training", total=total, metrics="", completed=step)
            yield
        self._progress = None

    def progress(
        self,
        step: int,
        total: int,
        batch_size: int,
        metrics: Mapping[str, float],
        score: str = "accuracy",
    ) -> None:
        """Training has reached ``step``; ``metrics`` are the latest known. ``score``: the one that
        is shown beside the loss."""
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = (step - self._first_step) / elapsed
        speed = f"{rate * batch_size:,.0f} examples/s"
        if self._progress is not None:
            short = {"loss": "train/loss", score: f"train/{score}", "val": f"val/{score}"}
            known = [f"{k} {_short(metrics[m])}" for k, m in short.items() if m in metrics]
            self._progress.update(self._bar, completed=step, metrics=" ".join([*known, speed]))
        elif time.monotonic() - self._shown > PLAIN_EVERY or step == total:
            self._shown = time.monotonic()
            names = dict.fromkeys(
                f"{of}/{name}" for of in ("train", "val") for name in ("loss", score)
            )
            shown = "  ".join(
                [*(f"{n} {_short(metrics[n])}" for n in names if n in metrics), speed]
            )
            left = (total - step) / rate if rate else float("inf")
            self.line(f"{self._name}step {step}/{total}  {shown}  {left:.0f} s left")

    def result(self, run_id: str, status: str, metrics: Mapping[str, float]) -> None:
        """The last line of a run; scripts read it."""
        scores = " ".join(f"{name}={value:.6g}" for name, value in metrics.items())
        self.line(f"run_id={run_id} status={status} {scores}".rstrip())


def _short(value: float) -> str:
    """Four decimals, or three digits of what is too small for them."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.3g}"


def _is_number(cell: str) -> bool:
    number = r"[+-]?(\d[\d,.]*(e[+-]?\d+)?|nan|inf)"
    return cell == "-" or re.fullmatch(rf"{number}( ± .*)?", cell) is not None
