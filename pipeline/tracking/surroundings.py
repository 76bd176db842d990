"""What a run ran on: code, packages, machine. Enough to say later what is different.

Nothing here fails: without git, or outside a repository, the fields say ``none``.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NONE = "none"
# A patch that `git apply` takes, whatever the user's git is configured to show.
PLAIN = (
    "--binary",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
GIT_TIMEOUT = 20  # seconds, for a repository on a slow network drive


@dataclass(frozen=True)
class Surroundings:
    """One moment's surroundings. ``patch`` turns ``commit`` into the code that ran."""

    commit: str
    branch: str
    dirty: bool
    patch: str
    untracked: tuple[str, ...]  # files git neither tracks nor ignores
    packages: dict[str, str]  # name -> version
    python: str
    platform: str
    host: str
    cpus: int
    devices: tuple[str, ...]
    command: str

    def tags(self) -> dict[str, str]:
        """Short facts, searchable in MLflow; its own names where it has one."""
        tags = {
            "git.branch": self.branch,
            "git.dirty": "true" if self.dirty else "false",
            "python": self.python,
            "platform": self.platform,
            "host": self.host,
            "cpus": str(self.cpus),
            "devices": ", ".join(self.devices) or NONE,
            "command": self.command,
            "mlflow.source.name": sys.argv[0] or "python",
        }
        if self.commit != NONE:
            tags["mlflow.source.git.commit"] = self.commit
        return tags

    def files(self) -> dict[str, str]:
        """Artifact name -> text."""
        packages = "".join(f"{name}=={version}\n" for name, version in self.packages.items())
        machine = {
            "python": self.python,
            "platform": self.platform,
            "host": self.host,
            "cpus": self.cpus,
            "devices": list(self.devices) or NONE,
            "git commit": self.commit,
            "git branch": self.branch,
        }
        return {
            "surroundings/packages.txt": packages,
            "surroundings/git.patch": self.patch,
            "surroundings/untracked.txt": "".join(f"{name}\n" for name in self.untracked),
            "surroundings/machine.txt": "".join(f"{k}: {v}\n" for k, v in machine.items()),
            "surroundings/command.txt": f"{self.command}\n",
        }


def surroundings(devices: Sequence[str], folder: Path | None = None) -> Surroundings:
    """Look around.

    Args:
        devices: what the run trains on, as its caller names them.
        folder: where the code lies; by default the folder of this package.
    """
    folder = folder or Path(__file__).resolve().parents[2]
    # HEAD is absent in a repository without commits: then everything is untracked or staged.
    commit = _git(folder, "rev-parse", "--verify", "-q", "HEAD").strip() or NONE
    status = _git(folder, "status", "--porcelain", "-z", "--untracked-files=all")
    untracked = [entry[3:] for entry in status.split("\0") if entry.startswith("?? ")]
    return Surroundings(
        commit=commit,
        branch=_git(folder, "symbolic-ref", "--short", "-q", "HEAD").strip() or NONE,
        dirty=bool(status),
        patch=_git(folder, "diff", *PLAIN, "HEAD") if commit != NONE else "",
        untracked=tuple(untracked),
        packages=packages(),
        python=platform.python_version(),
        platform=platform.platform(),
        host=socket.gethostname(),
        cpus=os.cpu_count() or 0,
        devices=tuple(devices),
        command=shlex.join([*_program(), *sys.argv[1:]]),
    )


@functools.cache
def packages() -> dict[str, str]:
    """Everything that is installed, with its version; read once, since it takes half a second."""
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return dict(sorted(found.items(), key=lambda item: str(item[0]).lower()))


def here(devices: Sequence[str]) -> Surroundings:
    """The surroundings of what the current folder's user runs.

    The code is that of the repository that the folder is in, where the user's own layers are;
    outside any repository that of this package.
    """
    around = surroundings(devices, Path.cwd())
    return around if around.commit != NONE else surroundings(devices)


def _program() -> list[str]:
    """``python -m pipeline.train`` rather than the path of its file."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name:
        return ["python", "-m", spec.name.removesuffix(".__main__")]
    return ["python", sys.argv[0]] if sys.argv[0] else ["python"]


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; nothing where there is no git, no repository, or no answer in time."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=GIT_TIMEOUT,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # do not disturb a git of the user's
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
