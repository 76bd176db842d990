"""``model.init_from``: which run a model starts from, checked, found and told.

    +model.init_from.run=<id>                    all weights whose paths and shapes agree
    +model.init_from.map={"encoder/*":"body/*"}  these only: path here, path there

The weights are those that the source run's checkpoint evaluates with. What was loaded and what was
not is said, and kept with the run.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from pipeline.assembly import Assembly
    from pipeline.tracking.store import Store
    from pipeline.training.warm_start import Loaded

KEYS = ("run", "map", "checkpoint")
CHECKPOINTS = ("best", "last")
_RUN_ID = re.compile(r"[0-9a-f]{8,32}")


def problems(node: Any, path: str) -> Iterator[str]:
    """What is wrong with an ``init_from`` node of plain values, one line each."""
    if node is None:
        return
    if not isinstance(node, dict):
        yield f"{path}: {node!r} is given; a mapping is expected; write {path}.run=<run id>"
        return
    for key in node.keys() - set(KEYS):
        yield f"{path}.{key}: there is no such key. {did_you_mean(key, KEYS)}"
    run = node.get("run")
    if not isinstance(run, str) or (run != "latest" and not _RUN_ID.fullmatch(run)):
        yield f"{path}.run: {run!r} is neither a run id (32 characters of 0-9 and a-f) nor 'latest'"
    checkpoint = node.get("checkpoint", "best")
    if checkpoint not in CHECKPOINTS:
        yield f"{path}.checkpoint: {checkpoint!r}. {did_you_mean(checkpoint, CHECKPOINTS)}"
    pairs = node.get("map")
    if pairs is None:
        return
    if not isinstance(pairs, dict) or not pairs:
        yield (
            f"{path}.map: {pairs!r} is given; a mapping is expected, path here to path there: "
            '{"encoder/*": "body/*"}'
        )
        return
    for ours, theirs in pairs.items():
        if not isinstance(theirs, str) or str(ours).count("*") != theirs.count("*"):
            yield (
                f"{path}.map: {ours!r} to {theirs!r}: both are patterns of paths with as many *, "
                'such as "encoder/*": "body/*"'
            )


def name_source(store: Store, config: DictConfig) -> None:
    """Put the whole id of the run that is meant into ``model.init_from.run``.

    Before the new run begins, which would be the latest itself, and before anything heavy loads.
    What is recorded then names the same run for ever.

    Raises:
        StoreError: there is no such run.
    """
    init_from = config.model.get("init_from")
    if init_from:
        asked = str(init_from.run)
        init_from.run = store.latest() if asked == "latest" else store.find(asked)


def warm_start(parts: Assembly, store: Store, init_from: Mapping[str, Any]) -> Loaded:
    """Put the source run's weights into the model that was built; its average begins with them.

    ``init_from``: with the whole id, see ``name_source``.

    Raises:
        UserError: there is no such run or checkpoint, or a pattern loads nothing.
    """
    from pipeline.tracking.models import Models
    from pipeline.training import warm_start as weights

    run_id = str(init_from["run"])
    models = Models(store, run_id)
    roles = {role for checkpoint in models.checkpoints() for role in checkpoint.roles}
    role = str(init_from.get("checkpoint", "best"))
    role = role if role in roles else "last"  # a run that was never evaluated has no best
    with tempfile.TemporaryDirectory() as scratch:
        folder, step = models.fetch(role, Path(scratch))
        pairs = init_from.get("map")
        try:
            loaded = weights.load(parts.model, folder, dict(pairs) if pairs else {"*": "*"})
        except ConfigError as error:
            raise ConfigError(f"model.init_from: run {run_id}: {error}") from error
    if parts.average is not None:
        parts.average.restart()
    loaded.source = f"run {run_id}, {role} checkpoint of step {step}"
    return loaded
