"""study.yaml: what is wrong with it is said before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import open_dict

from pipeline import report, studies
from pipeline.errors import ConfigError
from pipeline.resuming import config_digest
from pipeline.train import compose

RIGHT = """
question: Is more better?
metric: val/loss
mode: min
baseline: few
seeds: [0, 3]
common: [+experiment=digits]
arms:
  few: [model.layers.hidden.units=8]
  many: [model.layers.hidden.units=16]
"""


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., studies.Study]:
    """``study(("metric", "metrik"))``: the study above with texts replaced."""

    def make(*replaced: tuple[str, str]) -> studies.Study:
        text = RIGHT
        for before, after in replaced:
            assert before in text
            text = text.replace(before, after)
        (tmp_path / "units").mkdir(exist_ok=True)
        (tmp_path / "units" / "study.yaml").write_text(text)
        return studies.find("units", tmp_path)

    return make


def test_a_run_of_the_plan_is_known_by_the_digest_that_training_records(
    study: Callable[..., studies.Study],
) -> None:
    plan = study().plan
    assert [(each.arm, each.seed) for each in plan] == [
        ("few", 0),
        ("few", 3),
        ("many", 0),
        ("many", 3),
    ]
    trained = compose("train", ["+experiment=digits", "model.layers.hidden.units=16", "seed=3"])
    assert plan[3].config == config_digest(trained)
    assert len({each.config for each in plan}) == 4


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("metric:", "metrik:", "metrik: there is no such key. Did you mean 'metric'"),
        ("mode: min", "mode: least", "mode: Invalid value 'least', expected one of [max, min]"),
        ("[0, 3]", "[0, x]", "seeds[1]: Value 'x' of type 'str' could not be converted to Integer"),
        ("[0, 3]", "[3, 3]", "seeds: [3, 3]; give two different ones"),
        ("baseline: few", "baseline: fev", "baseline: there is no arm 'fev'. Did you mean 'few'?"),
        ("metric: val/loss", "metric: speed/step_ms", "a time is not the same twice"),
        ("metric: val/loss", "metric: loss", "loss: a metric begins with train/, val/, test/"),
        ("metric: val/loss\n", "", "metric: is missing"),
        ("units=8]", "units=8, seed=1]", "arms.few: seed=1: seed is not an arm's to set"),
        ("question", "tolerance: -1\nquestion", "tolerance: -1.0 is out of range"),
        ("arms:", "arms: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(
    before: str, after: str, said: str, study: Callable[..., studies.Study]
) -> None:
    with pytest.raises(ConfigError) as raised:
        study((before, after))
    assert said in str(raised.value)
    assert "units/study.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("units=16", "unitz=16", "arms.many: model.layers.hidden.unitz"),
        (
            "model.layers.hidden.units=16",
            "trainer.batch_size=0",
            "arms.many: trainer.batch_size: 0",
        ),
        ("units=16", "units=8", "arms: few and many are the same config"),
        (
            "model.layers.hidden.units=16",
            "'model.layers.hidden.units=8,16'",
            "arms.many: model.layers.hidden.units=8,16: several values",
        ),
    ],
)
def test_an_arm_that_cannot_be_trained_is_named(
    before: str, after: str, said: str, study: Callable[..., studies.Study]
) -> None:
    found = study((before, after))
    with pytest.raises(ConfigError) as raised:
        _ = found.plan
    assert said in str(raised.value)


def test_configs_of_a_folder_of_the_study_s_own(
    tmp_path: Path, study: Callable[..., studies.Study]
) -> None:
    (tmp_path / "units" / "configs" / "experiment").mkdir(parents=True)
    (tmp_path / "units" / "configs" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ntrainer:\n  duration: 1 epoch\n"
    )
    mine = study(("=digits", "=mine"), ("question", "config_dir: configs\nquestion"))
    assert mine.plan[0].config != study().plan[0].config
    with pytest.raises(ConfigError, match="mine"):
        _ = study(("=digits", "=mine")).plan


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unit"], "There is no study 'unit' in {folder}. Did you mean 'units'?"),
        (["old"], "{folder}/old is not a study of this kind: it has no study.yaml"),
        ([], "give the name of one study, pipeline.report <study>. In {folder}: units."),
        (["units", "old"], "units, old are given; give the name of one study"),
        (["units", "--chek"], "--chek: there is no such flag. Did you mean '--check'?"),
        (["units", "seed=1"], "seed=1: this verb has no 'seed'; what is trained stands in"),
        (["units", "tracking=off"], "tracking=off keeps no runs"),
    ],
)
def test_words_that_name_no_study(
    words: list[str], said: str, tmp_path: Path, study: Callable[..., studies.Study]
) -> None:
    study()
    (tmp_path / "old").mkdir()
    with pytest.raises(ConfigError) as raised:
        report.main([*words, f"folder={tmp_path}"])
    assert said.format(folder=tmp_path) in str(raised.value)


def test_what_a_config_does_not_use_is_not_in_its_digest() -> None:
    """So that keys which are newer than a run leave its digest as it was recorded."""
    config = compose("train", ["+experiment=digits"])
    recorded = compose("train", ["+experiment=digits"])
    with open_dict(recorded):
        del recorded.dataset.mix, recorded.dataset.buckets
    assert config_digest(recorded) == config_digest(config)
    mixed = compose("train", ["+experiment=digits", "dataset.buckets=[8]"])
    assert config_digest(mixed) != config_digest(config)
