"""Names, versions, folders and preparing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pipeline.config import Dataset
from pipeline.data import catalogue, source
from pipeline.errors import DataError

Write = Callable[..., Path]
Images = Callable[[int], list[Any]]


def message(config: Dataset) -> str:
    with pytest.raises(DataError) as caught:
        source.load(config)
    return str(caught.value)


def test_unprepared_official_name_says_at_once_how_to_prepare_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[Any]
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    start = time.perf_counter()
    text = message(Dataset(name="mnist"))
    assert time.perf_counter() - start < 2
    assert text == (
        f"mnist/3.0.1 is not prepared: {tmp_path}/mnist/3.0.1 does not hold it.\n"
        "Prepare it once (this downloads it): python -m pipeline.prepare dataset=mnist\n"
        "If it lies elsewhere, set dataset.data_dir or TFDS_DATA_DIR to the folder above it."
    )
    assert no_network == []
    assert list(tmp_path.iterdir()) == []


def test_how_to_prepare_repeats_what_the_config_says(tmp_path: Path) -> None:
    assert (
        "python -m pipeline.prepare dataset=tfds dataset.name=rock_paper_scissors "
        f"dataset.data_dir={tmp_path}\n"
    ) in message(Dataset(name="rock_paper_scissors", data_dir=str(tmp_path)))


def test_preparing_without_network_fails_in_seconds_and_names_the_host(
    tmp_path: Path, no_network: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        catalogue.prepare(Dataset(name="mnist", data_dir=str(tmp_path)))
    assert time.perf_counter() - start < 5
    assert "mnist/3.0.1 cannot be downloaded: no connection to storage.googleapis.com" in str(
        caught.value
    )
    assert no_network
    assert capfd.readouterr().out == ""


def test_unknown_name_is_answered_with_the_nearest_few(no_network: list[Any]) -> None:
    text = message(Dataset(name="mnits"))
    assert "There is no TFDS dataset 'mnits'" in text
    assert "Did you mean 'mnist' or 'kmnist' or 'emnist'?" in text
    assert len(text) < 500
    assert no_network == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cifar10_corrupted/brigtness_1", "no config 'brigtness_1'. Did you mean 'brightness_1'"),
        ("mnist/small", "no config 'small'. It has no configs."),
        ("mnist:9.9.9", "version 9.9.9 is neither in"),
        ("kaggle:mnist", "is a community dataset (namespace 'kaggle')"),
        ("two words", "is not a TFDS name. Expected name, name/config or name:version"),
    ],
)
def test_wrong_names_say_what_is_wrong(name: str, text: str, no_network: list[Any]) -> None:
    assert text in message(Dataset(name=name))
    assert no_network == []


def test_unknown_module_is_named() -> None:
    assert "dataset.module=no.such.module cannot be imported: No module named 'no'" in message(
        Dataset(name="digits", module="no.such.module")
    )


def test_remote_folder_is_refused() -> None:
    assert "in a local folder, not gs://bucket/tfds" in message(
        Dataset(name="mnist", data_dir="gs://bucket/tfds")
    )


def test_data_prepared_by_someone_else_is_read_under_the_official_name(
    write_dataset: Write, numbered_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_dataset("mnist", {"train": numbered_images(20), "test": numbered_images(5)})
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    loaded = source.load(
        Dataset(name="mnist", splits=source_splits("train[:90%]", "train[90%:]", "test"))
    )
    assert (loaded.version, loaded.folder) == ("3.0.1", folder / "mnist" / "3.0.1")
    assert loaded.split("train").inputs[:, 0, 0, 0].tolist() == list(range(18))
    assert loaded.split("validation").labels.tolist() == [8, 9]
    assert len(loaded.split("test")) == 5


def test_other_version_on_disk_is_read_where_the_codes_own_is_absent(
    write_dataset: Write, numbered_images: Images
) -> None:
    folder = str(write_dataset("mnist", {"train": numbered_images(3)}, version="2.5.0"))
    assert str(catalogue.open_builder(Dataset(name="mnist", data_dir=folder)).version) == "2.5.0"
    write_dataset("mnist", {"train": numbered_images(3)}, version="3.0.1")
    assert str(catalogue.open_builder(Dataset(name="mnist", data_dir=folder)).version) == "3.0.1"
    exact = Dataset(name="mnist:2.5.0", data_dir=folder)
    assert str(catalogue.open_builder(exact).version) == "2.5.0"
    assert catalogue.prepare(exact) == Path(folder) / "mnist" / "2.5.0"


def test_dataset_on_disk_needs_no_code(write_dataset: Write, numbered_images: Images) -> None:
    folder = write_dataset("nobody_wrote_this", {"train": numbered_images(3)}, version="1.0.0")
    builder = catalogue.open_builder(Dataset(name="nobody_wrote_this", data_dir=str(folder)))
    assert builder.info.full_name == "nobody_wrote_this/1.0.0"


def test_builder_of_a_users_module_is_found_and_not_prepared_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_plankton.py").write_text(
        "import tensorflow_datasets as tfds\n"
        "class Plankton(tfds.core.GeneratorBasedBuilder):\n"
        "    VERSION = tfds.core.Version('1.0.0')\n"
        "    def _info(self):\n"
        "        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(\n"
        "            {'image': tfds.features.Image(shape=(2, 2, 1)),\n"
        "             'label': tfds.features.ClassLabel(num_classes=2)}))\n"
        "    def _split_generators(self, dl_manager):\n"
        "        return {'train': self._generate_examples()}\n"
        "    def _generate_examples(self):\n"
        "        import numpy as np\n"
        "        for i in range(4):\n"
        "            yield i, {'image': np.zeros((2, 2, 1), np.uint8), 'label': i % 2}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = Dataset(
        name="plankton",
        data_dir=str(tmp_path / "data"),
        module="my_plankton",
        splits=source_splits("train[:2]", "train[2:3]", "train[3:]"),
    )
    assert (
        "dataset.name=plankton dataset.module=my_plankton 'trusted_packages=[my_plankton]'"
        in message(config)
    )
    catalogue.prepare(config)
    assert source.load(config).sizes == {"train": 2, "validation": 1, "test": 1}


def test_preparing_leaves_standard_output_clean(
    tmp_path: Path, write_dataset: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    folder = catalogue.prepare(Dataset(name="digits", data_dir=str(tmp_path)))
    assert folder == tmp_path / "digits" / "1.0.0"
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Generating" not in captured.err


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = message(Dataset(name="digits", data_dir=str(tmp_path / "file" / "below")))
    assert f"Cannot prepare digits in {tmp_path}/file/below" in text
    assert "TFDS_DATA_DIR" in text


def test_half_a_dataset_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "digits" / "1.0.0").mkdir(parents=True)
    assert "is not a complete TFDS dataset" in message(
        Dataset(name="digits", data_dir=str(tmp_path))
    )


def test_preparing_waits_for_whoever_holds_the_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = FileLock(tmp_path / "digits.lock")
    held.acquire()
    # The message is logged while the lock is held: freeing it then lets the waiter go on.
    monkeypatch.setattr(
        catalogue._log, "warning", lambda *args: (order.append("waited"), held.release())
    )
    order: list[str] = []
    original = catalogue._download_and_prepare
    monkeypatch.setattr(
        catalogue,
        "_download_and_prepare",
        lambda *args: (order.append("prepared"), original(*args)),
    )
    catalogue.prepare(Dataset(name="digits", data_dir=str(tmp_path)))
    assert order == ["waited", "prepared"]


@pytest.mark.slow
def test_two_processes_that_prepare_at_once_both_succeed(forked: Any, tmp_path: Path) -> None:
    # Both are ready before either starts: they meet at the barrier file of the other.
    program = (
        "import os, sys, pathlib\n"
        "from pipeline.data import catalogue, source\n"
        "from pipeline.config import Dataset\n"
        "folder, me, other = sys.argv[1:]\n"
        "pathlib.Path(folder, me).touch()\n"
        "while not os.path.exists(os.path.join(folder, other)): pass\n"
        "print(len(source.load(Dataset(name='digits', data_dir=folder)).split('test')))\n"
    )
    processes = [
        forked(None, str(tmp_path), *names, code=program, cwd=tmp_path)
        for names in (("a", "b"), ("b", "a"))
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "360\n"), err


def source_splits(train: str, validation: str, test: str) -> Any:
    from pipeline.config import Splits

    return Splits(train=train, validation=validation, test=test)
