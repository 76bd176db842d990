"""The prepare verb and the dataset configs it reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra.utils
import pytest

from pipeline import prepare
from pipeline.errors import ConfigError, DataError


def test_says_what_was_prepared_and_then_that_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = f"digits/1.0.0 at {tmp_path}/digits/1.0.0: train 1,167, validation 270, test 360\n"
    prepare.main([f"dataset.data_dir={tmp_path}"])
    assert capfd.readouterr().out == f"prepared {sizes}"
    prepare.main([f"dataset.data_dir={tmp_path}"])
    assert capfd.readouterr().out == f"already prepared {sizes}"


def test_without_network_it_is_a_data_error(tmp_path: Path, no_network: list[Any]) -> None:
    with pytest.raises(DataError, match=r"no connection to storage\.googleapis\.com") as caught:
        prepare.main(["dataset=mnist", f"dataset.data_dir={tmp_path}"])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "dataset=mnsit",
            "there is no dataset 'mnsit'. Did you mean 'mnist' or 'kmnist' or 'emnist'?",
        ),
        ("dataset.nam=mnist", "there is no such key. Did you mean 'dataset.name'?"),
        ("dataset.classes=many", "dataset.classes: 'many' is given; a whole number is expected"),
        ("dataset=tfds", "dataset.name: nothing is given and there is no default"),
        ("dataset.splits.train='train[:'", "dataset.splits.train: 'train[:' is not a split"),
        ("dataset.module=foo.bar", "add trusted_packages=[foo] to the command line"),
    ],
)
def test_wrong_config_is_a_config_error(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare.configured([override])
    assert text in str(caught.value)


def test_trusted_module_may_be_named() -> None:
    dataset = prepare.configured(["dataset.module=foo.bar", "trusted_packages=[foo]"])
    assert dataset.module == "foo.bar"


def test_wrong_config_ends_with_code_2_before_tensorflow_is_imported() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline.prepare", "dataset.classes=many"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "error: dataset.classes: 'many' is given" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "tensorflow" not in ended.stderr


@pytest.mark.parametrize(
    ("option", "name", "largest"),
    [
        ("digits", "digits", 16),
        ("mnist", "mnist", 255),
        ("fashion_mnist", "fashion_mnist", 255),
        ("kmnist", "kmnist", 255),
        ("emnist", "emnist/balanced", 255),
        ("tfds", "kmnist", 255),
    ],
)
def test_each_config_scales_its_images_to_one(option: str, name: str, largest: int) -> None:
    dataset = prepare.configured([f"dataset={option}", f"dataset.name={name}"])
    assert dataset.name == name
    scale = hydra.utils.instantiate(dataset.preprocess["scale"])
    assert float(scale([[0, largest]])[0, 1]) == pytest.approx(1.0, abs=1e-7)
