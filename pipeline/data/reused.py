"""Decoded splits that the trials of a sweep, each in its own process, have from each other."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who sweeps imports the name of the folder, before NumPy is needed
    import numpy as np

FOLDER = "PIPELINE_DECODED"  # in the environment: where they lie while a sweep lasts
MOST = 256 << 20  # bytes of a split that is kept: temporary files may lie in memory


def load(key: Hashable) -> dict[str, np.ndarray] | None:
    """What an earlier trial has kept for ``key``; ``None`` where there is nothing."""
    path = _path(key)
    if path is None:
        return None
    import numpy as np

    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def keep(key: Hashable, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep ``arrays`` for later trials: those of numbers, of some size, where there is room."""
    path = _path(key)
    if path is None or sum(array.nbytes for array in arrays.values()) > MOST:
        return
    if any(array.dtype == object for array in arrays.values()):
        return
    import numpy as np

    own = path.with_name(f"{path.stem}.{os.getpid()}.npz")  # two trials may run at a time
    try:
        np.savez(own, **arrays)  # type: ignore[arg-type]  # none is named allow_pickle
        own.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)


def _path(key: Hashable) -> Path | None:
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    return Path(folder) / f"{hashlib.sha256(repr(key).encode()).hexdigest()}.npz"
