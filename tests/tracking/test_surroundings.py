"""What a run ran on."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.tracking.surroundings import NONE, here, surroundings


def git(folder: Path, *arguments: str) -> None:
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a"}
    names |= {"GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *arguments], cwd=folder, check=True, env={**os.environ, **names})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "code.py").write_text("x = 1\n")
    (tmp_path / ".gitignore").write_text("secret\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_repository(repository: Path) -> None:
    found = surroundings(["CPU:0"], repository)
    assert (found.branch, found.dirty, found.patch, found.untracked) == ("trunk", False, "", ())
    assert found.tags()["mlflow.source.git.commit"] == found.commit
    assert len(found.commit) == 40


def test_the_patch_restores_what_ran(repository: Path) -> None:
    (repository / "code.py").write_text("x = 2\n")
    (repository / "new file.py").write_text("")
    (repository / "secret").write_text("")
    found = surroundings([], repository)
    assert found.tags()["git.dirty"] == "true"
    assert found.untracked == ("new file.py",)
    assert found.files()["surroundings/untracked.txt"] == "new file.py\n"
    git(repository, "checkout", "-q", "code.py")
    (repository / "change.patch").write_text(found.files()["surroundings/git.patch"])
    git(repository, "apply", "change.patch")
    assert (repository / "code.py").read_text() == "x = 2\n"


def test_the_patch_applies_however_the_users_git_shows_differences(repository: Path) -> None:
    settings = ("diff.noprefix", "color.ui", "diff.external")
    for setting, value in zip(settings, ("true", "always", "/bin/false"), strict=True):
        git(repository, "config", setting, value)
    (repository / "code.py").write_text("x = 2\n")
    found = surroundings([], repository)
    git(repository, "checkout", "-q", "code.py")
    (repository / "change.patch").write_text(found.patch)
    git(repository, "apply", "change.patch")
    assert (repository / "code.py").read_text() == "x = 2\n"


def test_the_current_folders_repository_comes_before_this_packages(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    assert here(["CPU:0"]).commit == surroundings([], repository).commit
    outside = tmp_path_factory.mktemp("outside")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(outside.parent))
    monkeypatch.chdir(outside)
    assert here([]).commit == surroundings([]).commit


def test_no_repository_and_no_git_say_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for path in (os.environ["PATH"], ""):
        monkeypatch.setenv("PATH", path)
        found = surroundings([], tmp_path)
        assert (found.commit, found.branch, found.dirty, found.patch) == (NONE, NONE, False, "")
        assert "mlflow.source.git.commit" not in found.tags()


def test_packages_devices_and_machine_are_recorded(tmp_path: Path) -> None:
    found = surroundings(["CPU:0", "CPU:1"], tmp_path)
    assert f"mlflow=={version('mlflow')}\n" in found.files()["surroundings/packages.txt"]
    assert found.tags()["devices"] == "CPU:0, CPU:1"
    assert found.tags()["cpus"] == str(os.cpu_count())
    assert f"host: {found.host}\n" in found.files()["surroundings/machine.txt"]
