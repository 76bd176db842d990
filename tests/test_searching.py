"""The search space in Hydra's words as Optuna reads it, and a study that is gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from pipeline import searching
from pipeline.composing import Composer
from pipeline.errors import ConfigError
from pipeline.trial import SWEEP, Objective

D = optuna.distributions


def _space(*overrides: str) -> dict[str, Any]:
    parsed = Composer("train").parse(list(overrides))
    return {o.get_key_element(): searching.distribution(o) for o in parsed}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0,1)", D.FloatDistribution(0.0, 1.0)),
        ("tag(log,interval(1e-4,1e-1))", D.FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(interval(2,8))", D.IntDistribution(2, 8)),
        ("tag(log,int(interval(2,64)))", D.IntDistribution(2, 64, log=True)),
        ("range(32,129,32)", D.IntDistribution(32, 128, step=32)),
        ("range(3)", D.IntDistribution(0, 2)),
        ("choice(a,b)", D.CategoricalDistribution(["a", "b"])),
        ("1e-2,1e-3", D.CategoricalDistribution(["0.01", "0.001"])),
        ("true,false", D.CategoricalDistribution(["True", "False"])),
    ],
)
def test_spaces_are_read_as_hydra_writes_them(text: str, expected: Any) -> None:
    assert _space(f"optimizer.learning_rate={text}")["optimizer.learning_rate"] == expected


def test_a_logarithmic_interval_begins_above_zero() -> None:
    with pytest.raises(ConfigError, match="begins above 0"):
        _space("optimizer.learning_rate=tag(log,interval(0,1))")


@pytest.mark.parametrize(
    ("overrides", "sampler", "message"),
    [
        ([], "tpe", "nothing is searched; give a range, such as 'optimizer.learning_rate="),
        (["seed=0,1"], "tpe", "the luckiest seed. Search with one, then compare the best"),
        (["trainer.average=interval(0.5,0.9)"], "grid", "sampler=grid: trainer.average has no end"),
    ],
)
def test_a_space_that_is_none_is_refused(overrides, sampler: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        searching.check_space(_space(*overrides), sampler)


def _config(root: Path, **sweep: Any) -> Any:
    settings = {"sampler": "tpe", "trials": 6, "parallel": 1, "seed": 0, "objectives": {}} | sweep
    return OmegaConf.create(
        {
            "sweep": settings,
            "objective": {"metric": "val/accuracy", "mode": "max"},
            "tracking": {"root": str(root)},
            "hydra": {"sweep": {"dir": str(root / "hydra")}},
        }
    )


class _Launcher:
    """Answers with what ``score`` makes of a job's x."""

    def __init__(self, score: Any) -> None:
        self.score, self.jobs, self.first = score, [], []

    def launch(self, jobs: Any, first: int) -> list[Any]:
        self.first.append(first)
        answers = []
        for job in jobs:
            self.jobs.append(job)
            words = dict(word.split("=") for word in job)
            answers.append(type("Done", (), {"return_value": self.score(words)})())
        return answers


class _Context:
    config_loader = None


@pytest.fixture
def in_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWEEP, json.dumps({"id": "abc"}))


X = "x=interval(0,1)"


def _search(root: Path, score: Any, *overrides: str, **sweep: Any) -> _Launcher:
    launcher = _Launcher(score)
    searching.search(_config(root, **sweep), _Context(), launcher, overrides)  # type: ignore[arg-type]
    return launcher


def _study(root: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(root / "studies" / "abc.log")))
    return optuna.load_study(study_name="abc", storage=storage)


def test_failed_and_pruned_trials_are_recorded_and_the_rest_go_on(tmp_path, in_sweep) -> None:
    def score(words: dict[str, str]) -> Any:
        number = len(seen)
        seen.append(words)
        if number == 1:
            return None  # it failed
        if number == 2:
            return Objective.of(float("nan"), "r", False, {})
        return Objective.of(float(words["x"]), "r", number == 3, {})

    seen: list[dict[str, str]] = []
    launcher = _search(tmp_path, score, X, "fixed=7", trials=5)
    assert [job[0] for job in launcher.jobs] == ["fixed=7"] * 5
    assert launcher.first == [0, 1, 2, 3, 4]
    study = _study(tmp_path)
    assert [t.state.name for t in study.trials] == [
        *("COMPLETE", "FAIL", "FAIL", "PRUNED", "COMPLETE")
    ]
    assert study.best_value == max(float(seen[0]["x"]), float(seen[4]["x"]))


def test_a_search_goes_on_with_what_was_cut_off_first(tmp_path, in_sweep) -> None:
    def stop(words: dict[str, str]) -> Any:
        seen.append(words["x"])
        if len(seen) == 3:
            raise SystemExit(130)
        return Objective.of(float(words["x"]), "r", False, {})

    seen: list[str] = []
    with pytest.raises(SystemExit):
        _search(tmp_path, stop, X, trials=4)
    again = _search(tmp_path, lambda words: Objective.of(0.5, "r", False, {}), X, trials=4)
    assert [job[0] for job in again.jobs][0] == f"x={seen[2]}"
    assert len(again.jobs) == 2  # of four, two were done
    assert len({job[0] for job in again.jobs} | {f"x={x}" for x in seen[:2]}) == 4
    over = _search(tmp_path, stop, X, trials=4)
    assert over.jobs == []


def test_grid_tries_each_combination_once(tmp_path, in_sweep) -> None:
    launcher = _search(
        tmp_path,
        lambda words: Objective.of(1.0, "r", False, {}),
        *("x=choice(1,2)", "y=range(3)"),
        sampler="grid",
        trials=100,
    )
    assert sorted(map(tuple, launcher.jobs)) == [
        (f"x={x}", f"y={y}") for x in (1, 2) for y in range(3)
    ]


def test_several_objectives_and_several_at_a_time(tmp_path, in_sweep) -> None:
    def score(words: dict[str, str]) -> Any:
        x = float(words["x"])
        return Objective.of(x, "r", False, {"test/loss": x * x})

    launcher = _search(
        tmp_path, score, X, trials=5, parallel=2, objectives={"test/loss": "min"}, sampler="random"
    )
    assert launcher.first == [0, 2, 4]
    study = _study(tmp_path)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial in study.trials:
        assert trial.values == [trial.params["x"], trial.params["x"] ** 2]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
@pytest.mark.slow
def test_samplers_propose_and_a_seed_repeats_them(tmp_path, monkeypatch, sampler: str) -> None:
    monkeypatch.delenv(SWEEP, raising=False)

    def score(words: dict[str, str]) -> Any:
        return -((float(words["x"]) - 0.3) ** 2)

    twice = [
        _search(tmp_path, score, X, "y=interval(0,1)", trials=4, sampler=sampler, seed=5).jobs
        for _ in range(2)
    ]
    assert twice[0] == twice[1]
    assert len({tuple(job) for job in twice[0]}) == 4
    assert not (tmp_path / "studies").exists()  # tracking=off keeps nothing
