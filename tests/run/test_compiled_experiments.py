"""What XLA compiles trains as what it does not, to rounding, in every experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError

PROJECT = Path(__file__).parents[2]
# Their data is fetched; they are convolutions as digits_cnn is.
FETCHED = {"fashion_cnn", "fashion_resnet"}
EXPERIMENTS = sorted(
    {path.stem for path in (PROJECT / "conf" / "experiment").glob("*.yaml")} - FETCHED
)
# One of each kind: a stack, a layer that trains itself, a recurrent one, another task. Convolutions
# take XLA on CPU long, and nobody is given that unless he asks for it.
FIRST = {"digits", "digits_local", "digits_gru", "diabetes"}
# XLA has no gradient of max pooling that is the same each time, which op determinism asks for.
REFUSED = {"digits_cnn": "MaxPool"}
STEPS = 6

pytestmark = pytest.mark.slow


def _cases() -> list[Any]:
    return [
        pytest.param(name, mode, marks=pytest.mark.exhaustive if further else ())
        for name in EXPERIMENTS
        for mode in ("loop", "gradients")
        for further in [mode == "gradients" or name not in FIRST]
    ]


def _trained(name: str, mode: str) -> tuple[np.ndarray, dict[str, float]]:
    from pipeline.assembly import assemble
    from pipeline.train import compose

    parts = assemble(compose("train", [f"+experiment={name}", f"trainer.compile={mode}"]))
    parts.trainer.compile()
    rows = parts.trainer.train(STEPS).rows
    return rows, parts.evaluate("val")


@pytest.mark.parametrize(("name", "mode"), _cases())
def test_compiled_experiment_trains_as_the_plain_one(name: str, mode: str) -> None:
    if name in REFUSED:
        says = rf"trainer.compile={mode}: XLA refuses the model: .*{REFUSED[name]}.*compile=auto"
        with pytest.raises(ConfigError, match=says):
            _trained(name, mode)
        return
    rows, validation = _trained(name, mode)
    expected, plain = _trained(name, "off")
    np.testing.assert_allclose(rows, expected, rtol=2e-3, atol=1e-4)
    assert validation == pytest.approx(plain, rel=2e-3, abs=1e-4)
