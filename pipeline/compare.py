"""Runs side by side: ``python -m pipeline.compare``, and whether one config is better.

    python -m pipeline.compare                      the newest run's experiment, the best first
    python -m pipeline.compare digits               an experiment, or the id of a sweep
    python -m pipeline.compare 1a2b3c4d,5e6f7a8b    runs; beginnings of ids do
    python -m pipeline.compare --group seed         runs that differ in the seed as one row
    python -m pipeline.compare A B                  B against A: is it larger than seed noise?
    python -m pipeline.compare optimizer.name=adam optimizer.name=momentum
    python -m pipeline.compare --group seed 1a2b3c4d 5e6f7a8b    each with its other seeds

A and B are one config each, in one run or in several seeds: an experiment, a sweep, a list of
runs, or a filter, which chooses from the newest run's experiment, or from tracking.experiment=…
Three and more words are one list of runs.

--group KEY     runs that differ in KEY alone are one row, or one side of A and B
--filter TEXT   only runs that fit: "metrics.val/accuracy > 0.97 and optimizer.name = 'adam'"
--sort KEY      order by a key: duration, val/loss, "optimizer.learning_rate desc"
--metrics M,…   show these metrics too; patterns do: 'val/*,speed/step_ms'
--top N         no more than N rows; by default 40 on a terminal, elsewhere all
--plot FILE     loss curves as a .png, .svg or .html file
--csv, --json   for a spreadsheet or a program, in place of tables
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline.cli import verb
from pipeline.composing import compose
from pipeline.console import Console, column_widths, say
from pipeline.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from pipeline.analysis.leaderboard import Leaderboard, Objective
    from pipeline.analysis.sides import Comparison, Side
    from pipeline.comparing import Chosen
    from pipeline.tracking.runs import Run

TOP = 40  # rows on a terminal, where the best would scroll away
MOST_CURVES = 6  # as many as there are colours that can be told apart
ALWAYS = ("val/loss", "train/loss")  # metrics whose curves are drawn


class Flags(argparse.ArgumentParser):
    """Flags that stand anywhere between the words; what is wrong is told as by the other verbs."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("words", nargs="*")
        for name in ("--group", "--filter", "--sort"):
            self.add_argument(name)
        self.add_argument("--metrics", default="")
        self.add_argument("--top", type=int)
        self.add_argument("--plot", type=Path)
        self.add_argument("--csv", action="store_true")
        self.add_argument("--json", action="store_true")

    def read(self, given: Sequence[str]) -> argparse.Namespace:
        """The flags and words.

        Raises:
            ConfigError: an unknown flag, or one without its value.
        """
        found, unknown = self.parse_known_intermixed_args(given)
        if unknown:
            flag = unknown[0].split("=")[0]
            near = did_you_mean(flag, self._option_string_actions)
            raise ConfigError(f"{flag}: there is no such flag. {near}")
        if found.csv and found.json:
            raise ConfigError("--csv, --json: give one of the two")
        if found.top is not None and found.top < 1:
            raise ConfigError(f"--top {found.top}: give a number from 1 on")
        found.metrics = [name.strip() for name in found.metrics.split(",") if name.strip()]
        found.own = [word for word in found.words if _is_own(word)]
        found.words = [word for word in found.words if not _is_own(word)]
        return found

    def error(self, message: str) -> NoReturn:
        """As an error of ours."""
        raise ConfigError(message.removeprefix("argument "))


def _is_own(word: str) -> bool:
    """Whether a word is an override of this verb's config rather than a choice of runs."""
    key = word.lstrip("+~").partition("=")[0]
    return key.split(".")[0].split("@")[0] == "tracking"


def main(given: Sequence[str]) -> int:
    """Print the leaderboard, or the comparison of two. Returns the exit code."""
    flags = Flags().read(given)
    config = compose("compare", flags.own)
    if flags.plot:
        from pipeline.analysis.curves import require_format

        require_format(flags.plot)

    from pipeline.comparing import Chosen
    from pipeline.tracking.runs import open_runs

    with open_runs(config.tracking) as runs:
        chosen = Chosen(runs, config.tracking.experiment or None)
        if len(flags.words) == 2:
            against(chosen, flags)
        else:
            board(chosen, flags)
    return 0


# One leaderboard ---------------------------------------------------------------------------------


def board(chosen: Chosen, flags: argparse.Namespace) -> None:
    """Print the runs that the words name, the best first."""
    from pipeline.analysis import rendering
    from pipeline.analysis.leaderboard import leaderboard

    runs = {run.run_id: run for word in flags.words for run in chosen.by(word)}
    found = list(runs.values()) if flags.words else chosen.everything
    shown = _filtered(found, flags)
    made = leaderboard(shown, metrics=flags.metrics, sort=flags.sort, group=flags.group)
    if flags.plot:
        curves = [(row.run_id[: rendering.SHOWN_ID], row.runs) for row in made.rows[:MOST_CURVES]]
        _plot(chosen, curves, flags, next(iter(made.objectives), None))
    if flags.csv or flags.json:
        some = replace(made, rows=made.rows[: flags.top])
        say(rendering.board_csv(some) if flags.csv else rendering.board_json(some))
        return
    console = Console()
    place = " ".join(flags.words) or f"experiment {chosen.experiment}"
    fitting = f", of {len(found)}, fit the filter" if len(shown) != len(found) else ""
    console.line(f"{place}: {_count(len(shown), 'run')}{fitting}")
    if not shown:
        return
    for line in _board_heading(made):
        console.line(line)
    _print_board(console, made, flags.top)
    if flags.plot:
        console.line(f"curves of {_count(len(curves), 'row')}: {flags.plot}")


def _filtered(runs: list[Run], flags: argparse.Namespace) -> list[Run]:
    from pipeline.analysis import filters

    if flags.filter is None:
        return runs
    condition = filters.parse(flags.filter, runs)
    return [run for run in runs if condition(run)]


def _board_heading(made: Leaderboard) -> list[str]:
    objective = [f"objective: {made.objectives[0]}"] if len(made.objectives) == 1 else []
    grouped = []
    if made.group:
        grouped = [
            f"mean ± standard deviation over {made.group}, of the runs that finished; "
            f"pipeline.compare --group {made.group} RUN RUN tests two rows"
        ]
    return [*objective, *grouped, *(f"note: {note}" for note in made.notes)]


def _print_board(console: Console, made: Leaderboard, top: int | None) -> None:
    from pipeline.analysis import rendering

    columns, rows = rendering.board_table(made)
    most = top or (TOP if console.width else len(rows))
    shown = rows[:most]
    room = _columns_that_fit(console.width, columns, shown, len(columns) - len(made.keys))
    console.whole_table(columns[:room], [row[:room] for row in shown])
    if left := made.keys[room - len(columns) :] if room < len(columns) else []:
        console.line(f"no room for {', '.join(left)}: a wider terminal, or --csv, shows more")
    if len(rows) > most:
        console.line(f"{len(rows) - most} further rows: --top {len(rows)} shows them")


def _columns_that_fit(
    width: int | None, columns: Sequence[str], rows: Sequence[Sequence[str]], least: int
) -> int:
    """How many columns a terminal has room for; ``least`` are shown in any case."""
    if width is None:
        return len(columns)
    used = list(accumulate(each + 2 for each in column_widths(columns, rows)))
    return max(least, sum(end - 2 <= width for end in used))


# A against B -------------------------------------------------------------------------------------


def against(chosen: Chosen, flags: argparse.Namespace) -> None:
    """Print what differs between two sides, and whether it is larger than the seeds' noise."""
    from pipeline.analysis import rendering
    from pipeline.analysis.sides import compare, side

    if flags.sort or flags.top:
        raise ConfigError("--sort and --top order a leaderboard; A and B have none.")
    key = flags.group or "seed"
    chosen_runs = [_filtered(chosen.by(word), flags) for word in flags.words]
    if flags.group:
        chosen_runs = [_filtered(chosen.group_of(runs, key), flags) for runs in chosen_runs]
    names = [f"{label} ({word})" for label, word in zip("AB", flags.words, strict=True)]
    a, b = (side(name, runs, key) for name, runs in zip(names, chosen_runs, strict=True))
    found = compare(a, b, key, flags.metrics)
    drawn = [(each.label, tuple(each.runs.values())) for each in (a, b)]
    if flags.plot:
        _plot(chosen, drawn, flags, found.objective)
    if flags.csv:
        say(rendering.differences_csv(found.compared))
        return
    if flags.json:
        say(rendering.comparison_json(found))
        return
    console = Console()
    _print_comparison(console, found)
    if not flags.group and any(_has_further(chosen, each, key) for each in (a, b)):
        console.line(f"there are further runs of these configs: --group {key} takes them along")
    _print_curve(console, chosen, drawn)
    if flags.plot:
        console.line(f"curves: {flags.plot}")


def _has_further(chosen: Chosen, given: Side, key: str) -> bool:
    from pipeline.analysis.sides import side

    runs = list(given.runs.values())
    return len(side(given.label, chosen.group_of(runs, key), key).runs) > len(runs)


def _print_comparison(console: Console, found: Comparison) -> None:
    from pipeline.analysis import rendering

    for each in (found.a, found.b):
        console.line(f"{each.label}: {each.ids}  ({found.key} {', '.join(each.runs)})")
        for left in each.left_out:
            console.line(f"  left out {left}")
    console.line()
    rows = [(key, *map(rendering.text_of, pair)) for key, pair in found.config.items()]
    if rows:
        console.whole_table(("config", "A", "B"), rows)
    else:
        console.line("the configs are the same")
    for note in found.notes:
        console.line(f"note: {note}")
    console.line()
    console.whole_table(*rendering.differences_table(found.compared))
    console.line()
    for verdict, metrics in _verdicts(found).items():
        console.line(f"{', '.join(metrics)}: {verdict}")
    for values, metrics in _left_out(found).items():
        where = "" if len(metrics) == len(found.compared) else f" of {', '.join(metrics)}"
        console.line(f"note: left out {found.key} {values}: one side has no finite value{where}")
    others = [paired for paired in found.compared if paired.metric != found.decisive]
    if found.decisive and any(paired.p is not None for paired in others):
        console.line(
            f"note: {found.decisive}, the objective, decides, and is tested alone; the p values "
            "of the others are corrected for their number (Holm)"
        )


def _verdicts(found: Comparison) -> dict[str, list[str]]:
    """What is said, and the metrics that it is said of; the objective's first."""
    said: dict[str, list[str]] = {}
    for paired in found.compared:
        better = paired.metric == found.decisive and found.better
        text = paired.verdict + (f": {found.better} is better" if better else "")
        said.setdefault("; ".join(filter(None, [text, paired.advice])), []).append(paired.metric)
    return said


def _left_out(found: Comparison) -> dict[str, list[str]]:
    """The seeds that are not paired, and the metrics that they lack a partner in."""
    left: dict[str, list[str]] = {}
    for paired in found.compared:
        if paired.alone:
            left.setdefault(", ".join(paired.alone), []).append(paired.metric)
    return left


# Curves ------------------------------------------------------------------------------------------


def _print_curve(
    console: Console, chosen: Chosen, drawn: Sequence[tuple[str, Sequence[Run]]]
) -> None:
    from pipeline.analysis.curves import Curve, in_terminal

    for metric in ALWAYS:
        if any(metric in run.metrics for _, runs in drawn for run in runs):
            curves = [Curve(label, _histories(chosen, runs, metric)) for label, runs in drawn]
            text = in_terminal(metric, curves, min(console.width or 80, 100), bool(console.width))
            console.line()
            console.drawing(text)
            return


def _plot(
    chosen: Chosen,
    drawn: Sequence[tuple[str, Sequence[Run]]],
    flags: argparse.Namespace,
    objective: Objective | None,
) -> None:
    from pipeline.analysis.curves import Curve, plot
    from pipeline.analysis.leaderboard import asked_metrics

    runs = [run for _, members in drawn for run in members]
    asked = asked_metrics(runs, flags.metrics)
    names = dict.fromkeys([*ALWAYS, *([objective.metric] if objective else []), *asked])
    panels = {
        metric: [Curve(label, _histories(chosen, members, metric)) for label, members in drawn]
        for metric in names
        if any(metric in run.metrics for run in runs)
    }
    if not panels:
        raise ConfigError(f"--plot {flags.plot}: the runs have no loss to draw yet.")
    plot(panels, flags.plot)


def _histories(chosen: Chosen, runs: Sequence[Run], metric: str) -> list[list[tuple[int, float]]]:
    return [chosen.runs.history(run.run_id, metric) for run in runs]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    verb(main, __doc__)
