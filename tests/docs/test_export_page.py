"""docs/export.md: every command and program is run as printed, MLflow's server included."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pages import must_say

pytestmark = pytest.mark.exhaustive  # trains, predicts, serves

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "export.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGING = re.compile(r"\b[0-9a-f]{32}\b|\d+(?:\.\d+)?(?!\w)")  # run ids and scores
STARTING = 120.0  # seconds that MLflow's server may take
PROBABILITIES = """
import json, tensorflow as tf
from pipeline.data import source
from pipeline.train import compose
split = source.load(compose("train", ["+experiment=digits"]).dataset).split("test")
print(json.dumps(tf.saved_model.load("exported/digits")(split.inputs[:8]).numpy().tolist()))
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def carried_out(new_shell: Callable[[], Any]) -> dict[str, tuple[int, str]]:
    """Exit code and output of each command and program, by its text; ``own``: probabilities."""
    shell, port, found = new_shell(), _free_port(), {}
    blocks = FENCE.findall(PAGE.read_text("utf-8"))
    for language, text in blocks:
        if language == "python":
            outcome = shell.python(text)
            found[text] = (outcome.code, outcome.out + outcome.err)
        for command in text.splitlines() if language == "bash" else []:
            if command.startswith("python -m pipeline."):
                outcome = shell.run(command)
                found[command] = (outcome.code, outcome.out + outcome.err)
            elif "models predict" in command:
                found[command] = _predict(shell, command)
            elif "models serve" in command:
                asked = next(c for c in text.splitlines() if c.startswith("curl "))
                with _server(shell, command.replace("5001", str(port)), port):
                    found[asked] = (0, _ask(shell, asked.replace("5001", str(port))))
    own = shell.python(PROBABILITIES)
    return found | {"own": (own.code, own.out)}


def _started(shell: Any, command: str, **options: Any) -> subprocess.Popen[str]:
    """A command that begins with variables of its environment, as in an activated environment."""
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [sys.executable, *words[len(variables) + 1 :]],
        cwd=shell.folder,
        env=os.environ | shell.environment | variables | {"PATH": path},
        text=True,
        **options,
    )


def _predict(shell: Any, command: str) -> tuple[int, str]:
    process = _started(shell, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=STARTING)
    return process.returncode, out if process.returncode == 0 else err


@contextmanager
def _server(shell: Any, command: str, port: int) -> Iterator[None]:
    log = (shell.folder / "server.txt").open("w")
    process = _started(shell, command, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + STARTING
        while True:
            assert process.poll() is None, (shell.folder / "server.txt").read_text()
            assert time.monotonic() < end, (shell.folder / "server.txt").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _ask(shell: Any, command: str) -> str:
    """What curl would: a POST of the file behind ``@``, with its header."""
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("http"))
    name, _, value = words[words.index("-H") + 1].partition(": ")
    data = (shell.folder / words[words.index("-d") + 1].removeprefix("@")).read_bytes()
    request = urllib.request.Request(url, data, {name: value})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def test_every_command_does_what_is_said(carried_out: dict[str, tuple[int, str]]) -> None:
    refused = [command for command, (code, _) in carried_out.items() if code]
    assert refused == ["python -m pipeline.export run=latest to=exported/quick --alias champion"]
    assert {code for code, _ in carried_out.values()} == {0, 1}
    assert len(carried_out) == 8  # four commands, a program, predict, serve and ask, own


def test_output_is_as_shown(carried_out: dict[str, tuple[int, str]]) -> None:
    blocks = FENCE.findall(PAGE.read_text("utf-8"))
    for (language, text), (kind, shown) in zip(blocks, blocks[1:], strict=False):
        if kind != "text":
            continue
        commands = [text] if language == "python" else text.splitlines()
        real = "".join(carried_out[c][1] for c in commands if c in carried_out)
        must_say(real, shown, _plain)


def _plain(line: str) -> str:
    return CHANGING.sub("#", " ".join(line.split()))


@pytest.mark.parametrize("how", ["models predict", "curl"])
def test_mlflow_answers_with_the_run_s_own_predictions(
    carried_out: dict[str, tuple[int, str]], how: str
) -> None:
    answer = next(out for command, (_, out) in carried_out.items() if how in command)
    predicted = json.loads(answer.strip().splitlines()[-1])["predictions"]
    own = json.loads(carried_out["own"][1].splitlines()[-1])
    assert len(own) == 8
    for ours, theirs in zip(own, predicted, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)
