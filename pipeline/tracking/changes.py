"""What is no longer as it was when a run was recorded: code, packages, machine, devices, data."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.tracking.store import RecordedRun, Store
from pipeline.tracking.surroundings import Surroundings

PATCH = "surroundings/git.patch"
NOT_RECORDED = "not recorded"
MOST_PACKAGES = 12  # that are named one by one
MOST_NAMES = 5
DATA = "data digest"
# Role of a split -> the tag that has its digest.
DIGESTS = {"train": "digest/training", "validation": "digest/validation", "test": "digest/test"}


@dataclass(frozen=True)
class Change:
    """Something that is not as it was recorded."""

    what: str
    recorded: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.recorded} -> {self.now}"


def changed_surroundings(
    store: Store, run: RecordedRun, now: Surroundings, digests: Mapping[str, str]
) -> list[Change]:
    """What is not as it was: code, packages, machine, devices, data.

    Args:
        digests: of the data now, by role of the split (train, validation, test).
    """
    rows = [("commit", *_commits(run, now))]
    patch = artifact(store, run.run_id, PATCH)
    rows.append(("uncommitted patch", _patch(patch), _patch(now.patch.encode())))
    rows += _packages(artifact(store, run.run_id, "surroundings/packages.txt"), now.packages)
    for name, value in now.tags().items():
        if name in ("python", "platform", "cpus", "devices"):
            rows.append((name, run.tags.get(name, NOT_RECORDED), value))
    for role, digest in digests.items():
        recorded = run.tags.get(DIGESTS[role], NOT_RECORDED)
        rows.append((f"{DATA} of {role}", recorded[:12], digest[:12]))
    return [Change(*row) for row in rows if row[1] != row[2]]


def remarks(store: Store, run: RecordedRun) -> Iterator[str]:
    """What the record says of itself that a comparison should know."""
    untracked = (artifact(store, run.run_id, "surroundings/untracked.txt") or b"").decode()
    # The store lies among them where git does not ignore it.
    own = store.location.root.name
    if names := [name for name in untracked.splitlines() if own not in name.split("/")[:-1]]:
        files = f"{len(names)} untracked file{'s' if len(names) > 1 else ''}"
        yield f"the record was made with {files}, which no patch holds: {_few(names, MOST_NAMES)}"
    resumed = [
        f"{k.removeprefix('resumed/')}={v}" for k, v in run.tags.items() if k.startswith("resumed/")
    ]
    if resumed:
        yield (
            f"the record was resumed with {_few(resumed, MOST_NAMES)}; its last config is run "
            "again from step 0"
        )
    if run.tags.get("deterministic") == "false":
        yield "the record gave up determinism (trainer.deterministic=false)"


def artifact(store: Store, run_id: str, path: str) -> bytes | None:
    """The bytes of an artifact; None where the run has none of that name."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return store.download(run_id, path, Path(folder)).read_bytes()
        except StoreError:
            return None


def _commits(run: RecordedRun, now: Surroundings) -> tuple[str, str]:
    return run.tags.get("mlflow.source.git.commit", "none")[:12], now.commit[:12]


def _patch(patch: bytes | None) -> str:
    if patch is None:
        return NOT_RECORDED
    if not patch.strip():
        return "none"
    files = len(re.findall(rb"^diff --git ", patch, re.MULTILINE))
    mark = hashlib.sha256(patch).hexdigest()[:8]
    return f"{files} file{'s' if files != 1 else ''} ({mark})"


def _packages(recorded: bytes | None, now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    if recorded is None:
        return [("packages", NOT_RECORDED, f"{len(now)} installed")]
    lines = (line.partition("==") for line in recorded.decode().splitlines())
    before = {name: version for name, _, version in lines}
    rows = [
        (name, before.get(name, "not installed"), now.get(name, "not installed"))
        for name in sorted({*before, *now}, key=str.lower)
        if before.get(name) != now.get(name)
    ]
    if len(rows) > MOST_PACKAGES:
        # Versions that moved come first: packages that came or went are mostly nothing to do with.
        rows.sort(key=lambda row: "not installed" in row)
        others = ", ".join(row[0] for row in rows[MOST_PACKAGES:])
        rows = [*rows[:MOST_PACKAGES], ("further packages", others, "other versions")]
    return rows


def _few(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
