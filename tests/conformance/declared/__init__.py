"""What every layer of the library declares of itself; the suites beside it run over all of it.

One file a family. ``CASES``: how each layer is made and what it has. ``PARITY``: the Keras layer
that it equals. ``WRONG``: what it says of wrong arguments and inputs.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from declared.kinds import Parity, Wrong
from layers.testing import Case

CASES: list[Case] = []
PARITY: list[Parity] = []
WRONG: list[Wrong] = []

for _path in sorted(Path(__file__).parent.glob("*.py")):
    if not _path.stem.startswith("_"):
        _family = import_module(f"declared.{_path.stem}")
        CASES += getattr(_family, "CASES", [])
        PARITY += getattr(_family, "PARITY", [])
        WRONG += getattr(_family, "WRONG", [])
