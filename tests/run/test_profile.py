"""``trainer.profile``: what a run spends its time on, and that looking changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # whole runs

SHORT = ("+experiment=digits", "trainer.duration=3 epochs", "trainer.log_every=6 steps")


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="XLA"),
        pytest.param(
            ("strategy.replicas=2",), id="graph, 2 replicas", marks=pytest.mark.exhaustive
        ),
    ],
)
def test_profile_tells_where_the_time_went_and_changes_nothing(
    fit: Callable[..., Any], store: Any, tmp_path: Path, capsys, more: tuple[str, ...]
) -> None:
    plain = fit(*SHORT, *more)
    capsys.readouterr()
    profiled = fit(*SHORT, *more, "+debug=profile")
    said = capsys.readouterr().out
    first, second = (store.recorded(run.run_id) for run in (plain, profiled))
    assert first.tags["sha256/last"] == second.tags["sha256/last"]
    loss = [
        [(p.step, p.value) for p in store.history(run.run_id, "train/loss")]
        for run in (plain, profiled)
    ]
    assert loss[0] == loss[1]

    prefix = "speed/profile/"
    shares = {k.removeprefix(prefix): v for k, v in second.metrics.items() if k.startswith(prefix)}
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-6)
    assert all(shares[part] > 0 for part in ("input", "forward", "backward", "reduce", "update"))
    assert shares["backward"] > shares["reduce"]
    assert shares["evaluation"] >= 0  # a millisecond, which a busy machine may not tell from none
    for name, share in shares.items():
        assert re.search(rf"^{name}\s+{share:.1%}", said, re.MULTILINE)

    folder = Path(store.client.download_artifacts(profiled.run_id, "profile", str(tmp_path)))
    assert "backward" in (folder / "shares.txt").read_text()
    assert list(folder.rglob("*.xplane.pb"))  # for TensorBoard
    assert not any(k.startswith(prefix) for k in first.metrics)


def test_every_run_tells_the_shares_of_its_time(fit: Callable[..., Any], store: Any) -> None:
    metrics = store.recorded(fit(*SHORT).run_id).metrics
    shares = [v for k, v in metrics.items() if k.startswith("speed/share/")]
    assert len(shares) == 6
    assert sum(shares) == pytest.approx(1.0, abs=1e-6)
    assert min(shares) >= 0
