"""The words of ``pipeline.reproduce``: one run, flags, and keys of the recorded config."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from pipeline import preflight
from pipeline.composing import compose
from pipeline.errors import ConfigError
from pipeline.reproduce import configured
from pipeline.reproducing import config_again

RUN = "0123456789abcdef0123456789abcdef"


@cache
def recorded_text() -> str:
    given = ["+experiment=digits", "tracking.root=elsewhere", "trusted_packages=[os]"]
    return OmegaConf.to_yaml(compose("train", given), resolve=True)


@cache
def present(own: tuple[str, ...]) -> DictConfig:
    return compose("reproduce", own)


def again(*words: str, own: tuple[str, ...] = (), edit: Any = None, tags: Any = None) -> Any:
    """The config and changes for a recorded ``+experiment=digits`` of experiment ``study``."""
    recorded = OmegaConf.create(recorded_text())
    if edit is not None:
        edit(recorded)
    store: Any = SimpleNamespace(text=lambda *_: OmegaConf.to_yaml(recorded))
    run: Any = SimpleNamespace(run_id=RUN, name="digits", experiment="study", tags=tags or {})
    return config_again(store, run, present(own), words)


@pytest.mark.parametrize("words", [[RUN], [f"run={RUN}"], [f"run='{RUN}'"]])
def test_the_run_is_given_bare_or_by_its_key(words: list[str]) -> None:
    config, own, changes = configured(words)
    assert (config.run, own, changes) == (RUN, [], [])
    assert (config.check, config.at_commit, config.anyway) == (False, False, False)


@pytest.mark.parametrize("run", ["latest", "001234", "12e456"])
def test_an_id_that_looks_like_a_number_stays_text(run: str) -> None:
    assert configured([run])[0].run == configured([f"run={run}"])[0].run == run


def test_flags_stand_anywhere_and_have_keys() -> None:
    config, own, changes = configured(["--check", RUN, "seed=3", "--at-commit", "tolerance=0.1"])
    assert (config.check, config.at_commit, config.tolerance) == (True, True, 0.1)
    assert own == ["check=true", "at_commit=true", "tolerance=0.1"]
    assert changes == ["seed=3"]
    assert configured([RUN, "check=true"])[0].check is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "run: give the id of one run, pipeline.reproduce <run id>, or latest"),
        (["run="], "run: give the id of one run"),
        (["a1", "b2"], "run: a1, b2 are given; give the id of one run"),
        ([RUN, "--chek"], "--chek: there is no such flag. Did you mean '--check'?"),
        ([RUN, "check=maybe"], "check: 'maybe' is given; true or false"),
        (
            [RUN, "tracking.rot=x"],
            "tracking.rot: there is no such key. Did you mean 'tracking.root",
        ),
    ],
)
def test_wrong_words_are_told(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(words)
    assert message in str(caught.value)


def test_the_recorded_config_is_run_with_the_commands_own_tracking_and_trust() -> None:
    config, changes = again(own=("tracking.root=here",))
    assert changes == []
    assert config.trainer == OmegaConf.create(recorded_text()).trainer
    assert (config.tracking.root, config.tracking.experiment) == ("here", "study")
    assert config.tracking.run_name == "reproduces digits 01234567"
    assert config.tracking.tags == {"reproduces": RUN}
    assert config.trusted_packages == []
    preflight.check(config)


def test_names_that_are_given_win() -> None:
    own = ("tracking.experiment=mine", "tracking.run_name=x", "+tracking.tags.a=b")
    tracking = again(own=own)[0].tracking
    assert (tracking.experiment, tracking.run_name) == ("mine", "x")
    assert tracking.tags == {"a": "b", "reproduces": RUN}


def test_single_keys_change_and_are_listed() -> None:
    words = ("strategy.replicas=2", "trainer.duration=3 epochs", "model.layers.hidden.units=8")
    config, changes = again(*words, "+model.freeze=[hidden/*]")
    assert [str(change) for change in changes] == [
        "strategy.replicas: null -> 2",
        "trainer.duration: 50 epochs -> 3 epochs",
        "model.layers.hidden.units: 256 -> 8",
        "model.freeze: null -> - hidden/*",
    ]
    assert (config.strategy.replicas, config.model.layers.hidden.units) == (2, 8)
    assert config.tracking.run_name == " ".join(
        ["reproduces digits 01234567", *words, "+model.freeze=[hidden/*]"]
    )
    preflight.check(config)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model=cnn", "model=cnn: reproduce runs the recorded config; this would choose another"),
        ("+experiment=digits", "+experiment=digits: reproduce runs the recorded config"),
        ("~model.layers.hidden", "~model.layers.hidden: reproduce runs the recorded config"),
        ("seed=0,1", "seed=0,1: one run is reproduced at a time; give one value"),
        ("strategy.replicas=two", "strategy.replicas: 'two' is given; a whole number is expected"),
        ("strategy.replica=2", "strategy.replica: there is no such key. Did you mean 'strategy.re"),
        ("model.layers.hidden.unit=2", "Dense takes no 'unit'. Did you mean 'units'?"),
    ],
)
def test_what_cannot_be_changed_is_told(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preflight.check(again(word)[0])
    assert message in str(caught.value)


def test_a_record_that_is_older_than_a_key_gets_its_default() -> None:
    def older(recorded: DictConfig) -> None:
        del recorded.trainer["stop_within"]

    config, _ = again(edit=older)
    assert config.trainer.stop_within == 5.0
    preflight.check(config)
