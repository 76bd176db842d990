"""A against B: which runs count, what differs, which metric decides."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from pipeline.analysis import rendering
from pipeline.analysis.sides import compare, side
from pipeline.errors import ConfigError
from pipeline.tracking.runs import Run

Make = Callable[..., Run]


def metrics(value: float) -> dict[str, float]:
    return {"val/accuracy": value - 0.5, "best/val/accuracy": value, "test/accuracy": value - 0.01}


@pytest.fixture
def adam(make_run: Make) -> list[Run]:
    return [
        make_run({"seed": s, "optimizer.name": "adam"}, metrics(v))
        for s, v in ((10, 0.90), (9, 0.91), (2, 0.92))
    ]


@pytest.fixture
def momentum(make_run: Make) -> list[Run]:
    return [
        make_run({"seed": s, "optimizer.name": "momentum"}, metrics(v))
        for s, v in ((2, 0.955), (9, 0.951), (10, 0.944))
    ]


def test_runs_are_paired_by_seed_and_the_objective_decides(
    adam: list[Run], momentum: list[Run]
) -> None:
    found = compare(side("A", adam, "seed"), side("B", momentum, "seed"), "seed")
    assert found.config == {"optimizer.name": ("adam", "momentum")}
    assert [each.metric for each in found.compared] == ["best/val/accuracy", "test/accuracy"]
    assert found.decisive == "best/val/accuracy"
    first = found.compared[0]
    assert first.seeds == ("2", "9", "10")
    assert first.difference == pytest.approx((0.035 + 0.041 + 0.044) / 3)
    assert (first.larger, found.better) == (True, "B")
    assert found.a.ids == "00000003,00000002,00000001"
    assert compare(found.b, found.a, "seed").better == "A"
    # The first runs of the sides have different seeds then, which is no difference of the config.
    fewer = compare(found.a, side("B", momentum[1:], "seed"), "seed")
    assert fewer.config == found.config
    assert fewer.compared[0].alone == ("2",)


def test_a_lower_objective_is_better_where_it_is_minimised(make_run: Make) -> None:
    lowest = {"objective.metric": "val/loss", "objective.mode": "min"}
    a = [make_run({**lowest, "seed": s, "x": 1}, {"val/loss": v}) for s, v in enumerate((1, 2, 3))]
    b = [
        make_run({**lowest, "seed": s, "x": 2}, {"val/loss": v})
        for s, v in enumerate((0.5, 1.51, 2.49))
    ]
    found = compare(side("A", a, "seed"), side("B", b, "seed"), "seed")
    assert (found.decisive, found.better) == ("val/loss", "B")


def test_a_difference_within_noise_has_no_better_side(adam: list[Run], make_run: Make) -> None:
    other = [
        make_run({"seed": s, "optimizer.name": "sgd"}, metrics(v))
        for s, v in ((2, 0.9), (9, 0.95), (10, 0.9))
    ]
    found = compare(side("A", adam, "seed"), side("B", other, "seed"), "seed")
    assert found.better is None
    assert found.compared[0].verdict == "not larger than seed noise with 3 seeds"


def test_runs_that_did_not_finish_and_older_runs_of_a_seed_are_left_out(
    adam: list[Run], make_run: Make
) -> None:
    config = {"optimizer.name": "adam"}
    runs = [
        *adam,
        make_run({**config, "seed": 3}, metrics(0.1), status="FAILED"),
        make_run({**config, "seed": 4}, metrics(0.1), tags={"sweep/pruned": "worse"}),
        make_run({**config, "seed": 2}, metrics(0.93)),
    ]
    found = side("A", runs, "seed")
    assert {seed: run.run_id for seed, run in found.runs.items()} == {
        "2": runs[5].run_id,
        "9": runs[1].run_id,
        "10": runs[0].run_id,
    }
    assert found.left_out == [
        "00000004: FAILED",
        "00000005: PRUNED",
        "00000003: 00000006 is a newer run of seed 2",
    ]
    with pytest.raises(ConfigError, match=r"A has no run that finished \(00000004: FAILED\)"):
        side("A", [runs[3]], "seed")


def test_a_side_of_several_configs_is_refused(adam: list[Run], momentum: list[Run]) -> None:
    with pytest.raises(ConfigError) as caught:
        side("A (digits)", [*adam, *momentum], "seed")
    assert str(caught.value).startswith(
        "A (digits) is 6 runs that differ in more than seed: optimizer.name. A side is one config"
    )


def test_a_key_that_only_moves_with_the_seed_is_another_config(make_run: Make) -> None:
    runs = [make_run({"seed": s, "trainer.accumulate": s}, metrics(0.9)) for s in (1, 2)]
    with pytest.raises(ConfigError, match="more than seed: trainer.accumulate"):
        side("A", runs, "seed")


def test_a_run_against_itself_is_refused(adam: list[Run]) -> None:
    with pytest.raises(ConfigError, match="run 00000001 is in both A and B"):
        compare(side("A", adam, "seed"), side("B", adam[:1], "seed"), "seed")


def test_other_data_and_other_code_are_said(make_run: Make) -> None:
    a = make_run({"seed": 0}, metrics(0.9), tags={"digest/test": "aa", "host": "x"})
    b = make_run(
        {"seed": 0}, metrics(0.9), tags={"digest/test": "bb", "mlflow.source.git.commit": "c"}
    )
    found = compare(side("A", [a], "seed"), side("B", [b], "seed"), "seed")
    assert found.notes == [
        "A and B have different test data (digest/test)",
        "A and B have different code (mlflow.source.git.commit)",
    ]


def test_different_objectives_decide_nothing_alone(adam: list[Run], make_run: Make) -> None:
    b = [
        make_run({"seed": s, "objective.metric": "val/loss", "objective.mode": "min"}, metrics(0.9))
        for s in (2, 9, 10)
    ]
    found = compare(side("A", adam, "seed"), side("B", b, "seed"), "seed", ["val/*"])
    assert (found.objective, found.decisive, found.better) == (None, None, None)
    assert [each.metric for each in found.compared] == ["test/accuracy", "val/accuracy"]
    assert "A and B do not have one objective" in found.notes[-1]


def test_another_key_than_the_seed_pairs_as_well(make_run: Make) -> None:
    def runs(name: str, shift: float) -> list[Run]:
        return [
            make_run({"seed": 0, "name": name, "lr": lr}, metrics(0.5 + lr + shift))
            for lr in (0.1, 0.2, 0.3)
        ]

    found = compare(side("A", runs("x", 0), "lr"), side("B", runs("y", 0.01), "lr"), "lr")
    assert found.compared[0].seeds == ("0.1", "0.2", "0.3")
    assert found.config == {"name": ("x", "y")}


def test_the_comparison_is_told_to_programs_whole(adam: list[Run], momentum: list[Run]) -> None:
    momentum[0] = Run(**{**vars(momentum[0]), "metrics": metrics(math.nan)})
    found = compare(side("A", adam, "seed"), side("B", momentum, "seed"), "seed")
    whole = json.loads(rendering.comparison_json(found))
    assert whole["runs"]["A"] == {s: run.run_id for s, run in found.a.runs.items()}
    assert whole["config"] == {"optimizer.name": ["adam", "momentum"]}
    first = whole["metrics"][0]
    assert (first["seeds"], first["alone"]) == (["9", "10"], ["2"])
    assert first["verdict"] == found.compared[0].verdict
    lines = rendering.differences_csv(found.compared).splitlines()
    assert lines[0].startswith("metric,a,b,difference,deviation,low,high,p,test,seeds,left_out")
    assert len(lines) == 3
