"""Composing keeps what it has read: the configs are Hydra's own, and edits are seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from pipeline.composing import Composer, compose

CHOICES = [
    [],
    ["+experiment=digits", "seed=3"],
    ["+experiment=digits_cnn", "dataset=mnist", "+debug=quick", "optimizer=momentum"],
    ["model=cnn", "tracking=off", "hydra.verbose=true", "~schedule"],
]


def write(folder: Path, units: int) -> None:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "mine.yaml").write_text(f"_target_: layers.Dense\nunits: {units}\n")


@pytest.mark.parametrize("overrides", CHOICES, ids=" ".join)
def test_a_config_is_the_one_that_hydra_composes(overrides: list[str]) -> None:
    composer = Composer("train")
    hydras = ConfigLoaderImpl(composer.loader.config_search_path)
    expected = hydras.load_configuration("train", overrides, RunMode.RUN)
    for between in (["model=cnn", "optimizer=sgd"], ["+experiment=digits"]):
        composer.load(between)
        found = composer.load(overrides)
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
        assert OmegaConf.is_struct(found)
        for group in ("trainer", "dataset", "tracking", "hydra"):
            assert OmegaConf.get_type(found[group]) is OmegaConf.get_type(expected[group])


def test_what_is_done_to_a_config_does_not_reach_the_next() -> None:
    first = compose("train", ["model=mlp"])
    first.model.layers.hidden.units = 7
    with open_dict(first):
        del first.model.layers["logits"]
        first.tracking.tags["who"] = "me"
    assert compose("train", ["model=mlp"]).model.layers.hidden.units != 7
    assert "logits" in compose("train", ["model=mlp"]).model.layers
    assert compose("train", ["model=mlp"]).tracking.tags == {}


def test_what_an_experiment_changes_does_not_reach_other_choices(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "narrow.yaml").write_text(
        "# @package _global_\nmodel:\n  layers:\n    hidden:\n      units: 7\n"
    )
    folder = str(tmp_path)
    narrow = compose("train", ["+experiment=narrow", "schedule=linear"], config_dir=folder)
    assert narrow.model.layers.hidden.units == 7
    other = compose("train", ["schedule=exponential"], config_dir=folder)
    assert other.model.layers.hidden.units == 256


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    found = []
    for at, units in enumerate((1, 2, 3)):
        write(tmp_path, units)
        os.utime(tmp_path / "model" / "mine.yaml", ns=(at, at))  # the clock may be coarse
        found.append(compose("train", ["model=mine"], config_dir=str(tmp_path)).model["units"])
    assert found == [1, 2, 3]


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for units, folder in enumerate(folders, start=1):
        folder.mkdir()
        write(folder, units)
    chosen = [compose("train", ["model=mine"], config_dir=str(folder)) for folder in folders]
    assert [cfg.model["units"] for cfg in chosen] == [1, 2]


def test_a_schema_that_is_stored_anew_is_used() -> None:
    store = ConfigStore.instance()
    try:
        for value in (1, 2):
            store.store(group="model", name="stored", node={"_target_": "x", "value": value})
            assert compose("train", ["model=stored"]).model["value"] == value
    finally:
        del store.repo["model"]["stored.yaml"]


def test_no_file_is_read_and_no_choice_merged_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    compose("train", ["+experiment=digits"])
    monkeypatch.setattr(OmegaConf, "load", None)  # whoever calls these fails
    monkeypatch.setattr(ConfigLoaderImpl, "_load_single_config", None)
    assert compose("train", ["+experiment=digits", "seed=5"]).seed == 5
