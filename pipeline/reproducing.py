"""A recorded run again: the config it is trained with, and what came of it beside the record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from pipeline.analysis.verdict import Verdict, compare
from pipeline.composing import Composer
from pipeline.composition_errors import explained
from pipeline.console import complain
from pipeline.errors import ConfigError, StoreError
from pipeline.resuming import read_config
from pipeline.tracking.sweeps import PRUNED_TAG

if TYPE_CHECKING:
    from pipeline.tracking.changes import Change
    from pipeline.tracking.store import RecordedRun, Store

ENDED = ("FINISHED", "FAILED", "KILLED")
_TYPED = re.compile(r"seed|(objective|trainer|strategy|dataset(?!\.preprocess))\..+")


@dataclass(frozen=True)
class Reproduction:
    """A recorded run, the run that repeats it, and how they compare; ``lines`` say it whole."""

    recorded: str
    run_id: str
    verdict: Verdict
    lines: tuple[str, ...]


# The config --------------------------------------------------------------------------------------


def config_again(
    store: Store, run: RecordedRun, config: DictConfig, words: Sequence[str]
) -> tuple[DictConfig, list[Change]]:
    """The recorded config with what ``words`` change of it, and these changes.

    Tracking and trust are the present command's (``config``): a recorded config cannot trust
    itself. The new run stays in the experiment of the recorded one unless another is named.

    Raises:
        ConfigError: a word would choose another config, or has a wrong key or type.
    """
    from pipeline.tracking.changes import Change

    recorded = read_config(store, run.run_id)
    changes: list[Change] = []
    with explained(Composer("train"), words):
        for key, value in _values(words).items():
            before = OmegaConf.select(recorded, key)
            OmegaConf.update(recorded, key, value, force_add=True)
            changes.append(Change(key, _yaml(before), _yaml(value)))
    recorded.tracking, recorded.resume = config.tracking, None
    recorded.trusted_packages = config.trusted_packages
    recorded.tracking.experiment = recorded.tracking.experiment or run.experiment
    name = " ".join([f"reproduces {run.name} {run.run_id[:8]}", *words])
    recorded.tracking.run_name = recorded.tracking.run_name or name[:250]
    recorded.tracking.tags = {**recorded.tracking.tags, "reproduces": run.run_id}
    return recorded, changes


def _values(words: Sequence[str]) -> dict[str, Any]:
    """Dotted key -> value. Where the schema knows a type, it is checked."""
    composer = Composer("train")
    values: dict[str, Any] = {}
    for word, override in zip(words, composer.parse(words), strict=True):
        key = override.key_or_group
        if override.is_sweep_override():
            raise ConfigError(f"{word}: one run is reproduced at a time; give one value")
        if override.is_delete() or ("." not in key and key != "seed"):
            raise ConfigError(
                f"{word}: reproduce runs the recorded config; this would choose another. Start a "
                "new run for that with pipeline.train, or change single keys."
            )
        if _TYPED.fullmatch(key):
            values[key] = OmegaConf.select(composer.load([word.lstrip("+")]), key)
        else:
            values[key] = override.value()
    return values


def _yaml(value: Any) -> str:
    return OmegaConf.to_yaml(OmegaConf.create([value]))[2:].replace("\n", " ").strip()


# The verdict -------------------------------------------------------------------------------------


def judge(
    store: Store,
    run: RecordedRun,
    new_id: str,
    found: Sequence[Change],
    failed: bool,
    tolerance: float,
) -> Reproduction:
    """Compare run ``new_id`` with the recorded one.

    Args:
        found: what was not as recorded when it began.
        failed: whether it failed, as the record did.
        tolerance: relative difference up to which values count as equal.

    Raises:
        StoreError: not all of the new run has reached the store.
    """
    new = store.recorded(new_id)
    if new.status not in ENDED:
        raise StoreError(
            f"Run {new_id} has ended, but not all of it has reached {store.location.uri} yet, so "
            "there is no verdict. It is kept in its journal."
        )
    histories = [
        {key: [(p.step, p.value) for p in points] for key, points in store.histories(i).items()}
        for i in (run.run_id, new_id)
    ]
    digests = [{k: v for k, v in r.tags.items() if k.startswith("sha256/")} for r in (run, new)]
    pruned = run.tags.get(PRUNED_TAG)
    finished = run.status == "FINISHED" and pruned is None
    verdict = compare(
        *histories,
        recorded_weights=digests[0] if finished else {},  # else of an end that it went on from
        weights_now=digests[1],
        tolerance=tolerance,
        unfinished=not finished,
    )
    lines = [f"verdict: {verdict}", *_reasons(verdict, found)]
    if failed:
        lines.append(_failures(store, run, new_id))
    elif not finished:
        ended = "was given up in its sweep" if pruned else f"is {run.status}"
        lines.append(f"the record {ended} and is compared as far as it goes; this run {new.status}")
    return Reproduction(run.run_id, new_id, verdict, tuple(lines))


def _reasons(verdict: Verdict, found: Sequence[Change]) -> list[str]:
    """What the verdict rests on."""
    weights = {
        True: "the weights have the same SHA-256",
        False: "the weights have another SHA-256",
        None: "the record has no SHA-256 of its weights",
    }[verdict.weights]
    compared = f"{verdict.points:,} points of {verdict.metrics} metrics"
    lines = [f"compared: {compared}; {weights}; speed/* and system/* measure time and are left out"]
    if verdict.first is not None:
        lines.append(f"first beyond the tolerance of {verdict.tolerance:g}: {verdict.first}")
    if verdict.largest is not None:
        largest = f"{verdict.largest.relative:.3g} ({verdict.largest})"
        lines.append(f"largest relative difference: {largest}")
        if verdict.first is None:
            lines.append(f"within the tolerance of {verdict.tolerance:g}: equal but for rounding")
    if not verdict.identical:
        names = ", ".join(change.what for change in found)
        lines.append(f"not as recorded: {names or 'nothing that a record knows of'}")
    return lines


def _failures(store: Store, run: RecordedRun, new_id: str) -> str:
    from pipeline.tracking.changes import artifact

    texts = [artifact(store, i, "traceback.txt") for i in (run.run_id, new_id)]
    recorded, now = ((t or b"unknown").decode().strip().splitlines()[-1] for t in texts)
    if recorded == now:
        return f"both failed with {now}"
    return f"the record failed with {recorded}, this run with {now}"


def keep(store: Store, found: Reproduction) -> None:
    """Tag the new run with the verdict, and keep its reasons as ``verdict.txt``."""
    text = "\n".join(found.lines)
    try:
        store.annotate(
            found.run_id,
            {"verdict": str(found.verdict), "mlflow.note.content": text},  # the page's description
            {"verdict.txt": f"{text}\n"},
        )
    except StoreError as error:
        complain(f"warning: the verdict is not kept with the run: {error}")
