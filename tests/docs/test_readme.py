"""Every command and program of the README is run, in its order, in a folder of a user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pipeline import config as schema
from pipeline.composing import compose

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"

# Not run here.
NOT_RUN = {
    "pip install -c constraints.txt -e .": "CI runs it as printed, in a fresh environment",
    "pip install -c constraints.txt -e '.[test]'": "CI runs it as printed, in a fresh environment",
    "pytest": "this is it",
    "python -m pipeline.report optimizers": "fifteen runs; test_report.py has a small one",
    "python -m pipeline.report optimizers --check": "as the one before",
    "python experiments/speed/study.py": "half an hour",
    "python experiments/speed/time_to_result.py": "three minutes",
}
# Run with more than is printed, to be quicker: XLA is left to the first commands of each kind.
SHORTER = {
    "python -m pipeline.train --config-dir configs +experiment=wide model=maxout "
    "'trusted_packages=[mine]'": ["trainer.compile=off"],
    "python -m pipeline.train --config-dir configs +experiment=wide dataset=bars "
    "'trusted_packages=[mine]'": ["trainer.compile=off"],
    "python -m pipeline.train +experiment=digits_cnn dataset=mnist": ["trainer.duration=2 epochs"],
    "python -m pipeline.train -m +experiment=digits optimizer.learning_rate=1e-2,1e-4 seed=0,1,2": [
        "trainer.duration=5 epochs",
        "trainer.compile=off",
    ],
    "python -m pipeline.train +experiment=digits seed=1 +model.init_from.run=latest "
    "'+model.init_from.map={hidden/*: hidden/*}' '+model.freeze=[hidden/*]'": [
        "trainer.duration=5 epochs",
        "trainer.compile=off",
    ],
    "python -m pipeline.train +experiment=digits strategy.replicas=2 trainer.precision=bfloat16 "
    "tracking=off": ["trainer.duration=5 epochs"],
    "python -m pipeline.train +experiment=digits tracking=server "
    "tracking.uri=http://127.0.0.1:5000": ["trainer.duration=2 epochs", "trainer.compile=off"],
}
# The names that scripts rely on.
STABLE_KEYS = [
    "seed",
    "objective.metric",
    "objective.mode",
    "dataset.name",
    "trainer.batch_size",
    "trainer.duration",
    "trainer.evaluate_every",
    "trainer.checkpoint_every",
    "trainer.checkpoint_seconds",
    "trainer.log_every",
    "trainer.steps_per_call",
    "trainer.compile",
    "trainer.precision",
    "trainer.clip_norm",
    "trainer.accumulate",
    "optimizer.learning_rate",
    "strategy.replicas",
    "tracking.uri",
    "tracking.experiment",
    "resume",
    "sweep.resume",
    "sweep.prune_from",
    "sweep.trials",
]

FIRST = "python -m pipeline.train +experiment=digits"
METRICS = """
import json, mlflow
mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
[run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
print(json.dumps(run.data.metrics))
"""
CONFORMANCE = """
import tensorflow as tf
from layers.testing import conformance, logical_devices
from mine.maxout import Maxout
logical_devices(2)
conformance(Maxout, {"units": 3, "pieces": 2}, tf.TensorSpec([None, 5]), variables=2)
"""

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run and machine to machine: run ids, and numbers that are no part of a
# name.
CHANGING = re.compile(r"\b(?:[0-9a-f]{32}|\d[\d,]*(?:\.\d+)?)\b")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The path that a comment at the top of a file's content names: ``# mine/maxout.py``."""
        named = re.match(r"(?:# @package \w+\n)?# (\S+/\S+\.(?:py|yaml))\b", self.text)
        return named[1] if named else None

    @property
    def commands(self) -> list[str]:
        """The commands of a bash block."""
        lines = self.text.splitlines() if self.language == "bash" else []
        return [command for line in lines for command in line.split(" && ") if command]


def blocks(page: Path) -> list[Block]:
    """Every fenced block, in order."""
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


BLOCKS = blocks(README)
# The page is run in two halves at once, each in a folder of its own: one core each.
HALF = next(i for i, block in enumerate(BLOCKS) if "pipeline.train -m " in block.text)
COMMANDS = [command for block in BLOCKS for command in block.commands if command not in NOT_RUN]
SHOWN = [
    (first.commands, second.text)
    for first, second in zip(BLOCKS, BLOCKS[1:], strict=False)
    if first.language == "bash" and second.language == "text"
]


@pytest.fixture(scope="module")
def outcomes(new_shell: Callable[[], Any]) -> dict[str, Any]:
    """What came of every command and program, by its text."""
    halves = [(new_shell(), part) for part in (BLOCKS[:HALF], BLOCKS[HALF:])]
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda half: carry_out(*half), halves)
    return first | second


def carry_out(shell: Any, part: Sequence[Block]) -> dict[str, Any]:
    """Write every file of the page; run the commands and programs of ``part``."""
    for block in BLOCKS:
        if block.file:
            shell.write(block.file, block.text)
    found: dict[str, Any] = {}
    for block in part:
        if block.language == "python" and not block.file:
            found[block.text] = shell.python(block.text)
        for command in block.commands:
            if command not in NOT_RUN:
                found[command] = shell.run(command, *SHORTER.get(command, []))
                if command == FIRST:
                    found |= {code: shell.python(code) for code in (METRICS, CONFORMANCE)}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_does_what_the_page_says(command: str, outcomes: dict[str, Any]) -> None:
    outcome = outcomes[command]
    shown = "".join(text for commands, text in SHOWN if command in commands)
    if "error: " in shown:
        assert outcome.code == 2
        assert outcome.out == ""
        assert outcome.err.startswith("error: ")
    else:
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out


@pytest.mark.slow
@pytest.mark.parametrize(("commands", "shown"), SHOWN, ids=[text[:40] for _, text in SHOWN])
def test_output_is_as_shown(commands: Sequence[str], shown: str, outcomes: dict[str, Any]) -> None:
    done = [outcomes[command] for command in commands if command not in NOT_RUN]
    real = "".join(outcome.out + outcome.err for outcome in done)
    assert missing_lines(shown, real) == [], real


@pytest.mark.slow
def test_own_experiment_reaches_the_score_at_its_head(outcomes: dict[str, Any]) -> None:
    head = next(block.text for block in BLOCKS if block.file == "configs/experiment/wide.yaml")
    promised = re.search(r"at least (\d+) %", head)
    assert promised
    out = outcomes["python -m pipeline.train --config-dir configs +experiment=wide"].out
    assert float(out.split("test/accuracy=")[-1]) >= int(promised[1]) / 100


@pytest.mark.slow
def test_own_layer_passes_what_the_library_s_own_pass(outcomes: dict[str, Any]) -> None:
    assert outcomes[CONFORMANCE].code == 0, outcomes[CONFORMANCE].err


@pytest.mark.slow
def test_program_prints_the_result_of_its_run(outcomes: dict[str, Any]) -> None:
    outcome = next(found for text, found in outcomes.items() if text.startswith("from pipeline"))
    assert (outcome.code, outcome.err) == (0, "")
    *_, summary, printed = outcome.out.splitlines()
    status, objective, accuracy = printed.split()
    assert status == "FINISHED"
    assert f" best/val/accuracy={float(objective):.6g} " in summary
    assert summary.endswith(f" test/accuracy={float(accuracy):.6g}")


@pytest.mark.slow
def test_run_leaves_the_metrics_that_the_page_lists(outcomes: dict[str, Any]) -> None:
    recorded = set(json.loads(outcomes[METRICS].out))
    listed = re.search(r"- \*\*Metrics,\*\*(.*?)\n- ", README.read_text(), re.DOTALL)
    assert listed
    names = set(re.findall(r"`([^`*]+)`", listed[1]))
    assert names == {name for name in recorded if not name.startswith("system/")}


def test_stable_keys_are_in_the_table_with_their_defaults() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `(.+?)` \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert [key for key, _, _ in rows] == STABLE_KEYS
    composed = compose("train")
    for key, default, _ in rows:
        value = OmegaConf.select(composed, key)
        assert default == ("null" if value is None else str(value)), key


def test_schema_has_the_defaults_of_the_trainer_file() -> None:
    composed = compose("train")
    for part, node in (("trainer", schema.Trainer), ("objective", schema.Objective)):
        for field in fields(node):
            default = OmegaConf.structured(node)[field.name]
            assert composed[part][field.name] == default, f"{part}.{field.name}"


def test_every_block_is_one_that_is_run_written_or_compared() -> None:
    shown = {text for _, text in SHOWN}
    for block in BLOCKS:
        if block.language == "text":
            assert block.text in shown, f"output of nothing: {block.text}"
        elif block.language == "yaml":
            assert block.file, f"a file without a name: {block.text}"
        else:
            assert block.language in ("bash", "python", "mermaid")
    assert {*NOT_RUN, *SHORTER} <= {command for block in BLOCKS for command in block.commands}


def test_ci_finds_the_two_commands_between_their_markers() -> None:
    for name in ("main", "test"):
        marked = re.search(rf"<!-- command: {name} -->\n```bash\n(.+)\n```\n", README.read_text())
        assert marked, f"no line of a command after the marker {name}"
        assert marked[1].startswith("pip install -c constraints.txt -e ")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (PROJECT / page).read_text())
    assert [link for link in links if not (PROJECT / link).exists()] == []


def missing_lines(shown: str, real: str) -> list[str]:
    """The lines shown that the real output lacks, or has in another order.

    ``…`` stands for anything, any number for any number, any run of spaces for any other.
    """
    rest, missing = [" ".join(line.split()) for line in real.splitlines()], []
    for line in shown.splitlines():
        pattern = _pattern(" ".join(line.split()))
        at = next((i for i, text in enumerate(rest) if re.fullmatch(pattern, text)), None)
        if at is not None:
            rest = rest[at + 1 :]
        elif line != "…":
            missing.append(line)
    return missing


def _pattern(line: str) -> str:
    if line == "…":
        return "(?!)"  # no line of its own
    parts = line.split("…")
    numbers = CHANGING.pattern
    return ".*".join(numbers.join(map(re.escape, CHANGING.split(part))) for part in parts)


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("a 1\n…\nc 3.25", []),
        ("c 3\na 1", ["a 1"]),
        ("run=0123456789abcdef0123456789abcdef", []),
        ("b two", ["b two"]),
        ("x …/end 5", []),
    ],
)
def test_comparison_of_outputs_sees_what_differs(shown: str, missing: list[str]) -> None:
    real = "a 2\nb\nc 7\nrun=fedcba9876543210fedcba9876543210\nx /some/end 6"
    assert missing_lines(shown, real) == missing


def test_contributing_names_make_targets_that_exist() -> None:
    """Its commands are CI's own, or set up a machine: they are not run here."""
    page = (PROJECT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"^(\w+):.*##", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make (\w+)", page, re.MULTILINE))
    assert named <= targets
    assert {"quick", "lint", "test", "ci"} <= named
    paths = re.findall(r"`((?:layers|pipeline|conf|tests)/[\w./]+)`", page)
    assert [path for path in paths if not (PROJECT / path).exists()] == []
