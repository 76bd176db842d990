"""From a dataset's name to the TFDS builder that reads it, and preparing it on disk once.

Nothing here touches the network, except ``prepare`` for a dataset that has to be downloaded.
What is inside a dataset, and whether it suits the config, is told by ``source.py``.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlparse

import requests
import tensorflow_datasets as tfds
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from tensorflow_datasets.core import naming, read_only_builder, registered
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.resource import get_dl_fname
from tensorflow_datasets.core.download.util import DownloadError

import pipeline.data.builders  # noqa: F401  registers this project's own builders
from pipeline.composing import conf_dir
from pipeline.config import Dataset
from pipeline.data import packaged
from pipeline.errors import DataError, did_you_mean, nearest
from pipeline.quiet import load_tensorflow

_CONNECT_SECONDS = 10.0

_log = logging.getLogger(__name__)


def data_folder(config: Dataset) -> str:
    """Where TFDS keeps datasets: ``data_dir``, else ``TFDS_DATA_DIR``, else TFDS's own default."""
    # TFDS reads the variable once, when it is imported: too early for tests and notebooks.
    folder = config.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in folder:
        raise DataError(
            f"Datasets are read from and prepared in a local folder, not {folder}. "
            "Copy or mount it, then set dataset.data_dir to that."
        )
    return os.path.expanduser(folder)


def open_builder(config: Dataset) -> tfds.core.DatasetBuilder:
    """The TFDS builder that ``config`` names, prepared or not. Opens no connection.

    The version that TFDS's code would prepare is preferred; where only another version of the
    requested name lies on disk, that one is read. A dataset on disk needs no code at all.

    Raises:
        DataError: the name, config, version or module does not exist.
    """
    if config.module:
        try:
            importlib.import_module(config.module)
        except ImportError as error:
            raise DataError(
                f"dataset.module={config.module} cannot be imported: {error}. "
                "It must name a Python module that defines the builder."
            ) from error

    name, options = _parse(config.name)
    options |= {key: _plain(value) for key, value in config.options.items()}
    folder = data_folder(config)
    try:
        builder_class = tfds.builder_cls(name)
    except registered.DatasetNotFoundError:
        on_disk = _on_disk(name, folder, options)
        if on_disk is None:
            raise _unknown(name, folder) from None
        return on_disk

    try:
        builder = builder_class(data_dir=folder, **options)
    except (AssertionError, TypeError, ValueError) as error:
        on_disk = _on_disk(name, folder, options)
        if on_disk is None:
            raise _unsuitable(config.name, builder_class, options, folder, error) from error
        return on_disk
    if is_prepared(builder) or needs_no_download(builder):
        return builder
    return _on_disk(name, folder, options) or builder


def is_prepared(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the dataset lies on disk, complete."""
    # Asking TFDS about a folder that does not exist makes it log a warning.
    return bool(builder.data_path.exists() and builder.is_prepared())


def needs_no_download(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the builder makes its data out of what is installed."""
    return bool(getattr(builder, "NEEDS_NO_DOWNLOAD", False))


def prepare(config: Dataset) -> Path:
    """Download and prepare the dataset unless that has been done. Returns its folder.

    Processes that prepare one dataset at the same time wait for each other; standard output stays
    clean, and TFDS's progress goes to standard error.

    Raises:
        DataError: no network, no room, no permission, or files that TFDS cannot use.
    """
    builder = open_builder(config)
    if is_prepared(builder):
        return Path(builder.data_dir)
    with _locked(Path(data_folder(config)), builder.name):
        builder = open_builder(config)  # another process may have prepared it meanwhile
        if not is_prepared(builder):
            _download_and_prepare(builder, config)
    if not is_prepared(builder):
        raise DataError(
            f"{builder.data_dir} exists but is not a complete TFDS dataset "
            "(dataset_info.json or features.json is missing). Delete the folder and prepare again."
        )
    return Path(builder.data_dir)


def not_prepared(builder: tfds.core.DatasetBuilder, config: Dataset) -> DataError:
    """The error that says where the dataset was looked for and how to prepare it."""
    return DataError(
        f"{builder.info.full_name} is not prepared: {builder.data_dir} does not hold it.\n"
        f"Prepare it once (this downloads it): {_prepare_command(config)}\n"
        "If it lies elsewhere, set dataset.data_dir or TFDS_DATA_DIR to the folder above it."
    )


def _parse(name: str) -> tuple[str, dict[str, Any]]:
    try:
        parsed, options = naming.parse_builder_name_kwargs(name)
    except ValueError:
        raise DataError(
            f"dataset.name={name!r} is not a TFDS name. Expected name, name/config or "
            "name:version, for example mnist, cifar10_corrupted/brightness_1 or mnist:3.0.1."
        ) from None
    if parsed.namespace:
        raise DataError(
            f"dataset.name={name!r} is a community dataset (namespace {parsed.namespace!r}), and "
            "these are not downloaded. Prepare it with TFDS, then set dataset.data_dir to the "
            f"folder and dataset.name={parsed.name}."
        )
    return parsed.name, options


def _plain(value: Any) -> Any:
    """An option as the builder's constructor takes it: TFDS would store OmegaConf's containers."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _on_disk(name: str, folder: str, options: dict[str, Any]) -> tfds.core.DatasetBuilder | None:
    """The newest version on disk that fits, read without the code that wrote it."""
    if set(options) - {"config", "version"}:  # arguments of the code, which is not there
        return None
    try:
        return read_only_builder.builder_from_files(name, data_dir=folder, **options)
    except registered.DatasetNotFoundError:
        return None


def _unknown(name: str, folder: str) -> DataError:
    names = tfds.list_builders(with_community_datasets=False)
    hint = did_you_mean(name, names) if nearest(name, names) else ""
    return DataError(
        f"There is no TFDS dataset {name!r}, in the code or in {folder}. {hint}\n"
        "All names: https://www.tensorflow.org/datasets/catalog. "
        "For a builder of your own, set dataset.module to the module that defines it."
    )


def _unsuitable(
    given: str,
    builder_class: type[tfds.core.DatasetBuilder],
    options: dict[str, Any],
    folder: str,
    error: Exception,
) -> DataError:
    """The class exists, but not with this config or version."""
    configs = list(builder_class.builder_configs)
    if "config" in options and options["config"] not in configs:
        has = did_you_mean(options["config"], configs) if configs else "It has no configs."
        return DataError(f"dataset.name={given}: no config {options['config']!r}. {has}")
    if "version" in options:
        versions = {str(builder_class.VERSION), *map(str, builder_class.SUPPORTED_VERSIONS)}
        return DataError(
            f"dataset.name={given}: version {options['version']} is neither in {folder} nor one "
            f"that the installed TFDS can prepare ({', '.join(sorted(versions - {'None'}))})."
        )
    own = set(options) - {"config", "version"}
    parameters = inspect.signature(builder_class.__init__).parameters.values()
    takes = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"data_dir", "file_format"}
    for name in sorted(own - takes):
        hint = did_you_mean(name, takes) if takes else "It takes none."
        return DataError(f"dataset.options.{name}: {given} takes no such option. {hint}")
    what = "dataset.options" if own else f"dataset.name={given}"
    return DataError(f"{what} cannot be opened: {_shorten(error)}")


def _prepare_command(config: Dataset) -> str:
    words = ["python -m pipeline.prepare"]
    if (conf_dir() / "dataset" / f"{config.name}.yaml").is_file():
        words.append(f"dataset={config.name}")
    else:
        words.append(f"dataset=tfds dataset.name={config.name}")
    if config.module:
        package = config.module.split(".")[0]
        words.append(f"dataset.module={config.module} 'trusted_packages=[{package}]'")
    if config.data_dir:
        words.append(f"dataset.data_dir={config.data_dir}")
    return " ".join(words)


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock file beside the dataset's folder. The system frees it if the process dies."""
    lock = FileLock(folder / f"{name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("waiting for another process that is preparing %s in %s", name, folder)
            lock.acquire()
    except OSError as error:
        raise DataError(
            f"Cannot prepare {name} in {folder}: {error}. "
            "Set dataset.data_dir or TFDS_DATA_DIR to a folder that can be written."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _download_and_prepare(builder: tfds.core.DatasetBuilder, config: Dataset) -> None:
    progress: IO[str] = sys.stderr
    package = packaged.installed(builder)
    if needs_no_download(builder):
        progress = io.StringIO()  # a second's work: no progress bars
    elif package:
        _log.warning(
            "%s: its files are taken from %s, of the package %s, and not downloaded",
            builder.info.full_name,
            package.folder,
            package.name,
        )
    else:
        _check_reachable(builder, Path(data_folder(config)) / "downloads")
    load_tensorflow()  # TFDS does so when it writes, and not before
    try:
        # TFDS prints "Downloading and preparing…" to standard output, which belongs to the verbs.
        with (
            packaged.by_hand(package) if package else contextlib.nullcontext() as download_config,
            contextlib.redirect_stdout(progress),
            contextlib.redirect_stderr(progress),
        ):
            builder.download_and_prepare(download_config=download_config)
    except (
        OSError,  # no room, no permission, and every error of requests
        ImportError,  # a package that this one dataset needs
        AssertionError,  # files that must be fetched by hand: TFDS's text says which
        DownloadError,
        NonMatchingChecksumError,
    ) as error:
        raise DataError(
            f"Preparing {builder.info.full_name} in {builder.data_dir} failed: "
            f"{type(error).__name__}: {_shorten(error)}"
        ) from error


def _check_reachable(builder: tfds.core.DatasetBuilder, downloads: Path) -> None:
    """Fail in seconds where there is no network: TFDS would retry for minutes."""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:  # TFDS's own error says what to fetch
        return
    urls = builder.url_infos or {}
    kept = {path.name for pattern in ("*", "*/*") for path in downloads.glob(pattern)}
    for url, info in urls.items():
        if info.filename in kept or get_dl_fname(url, info.checksum) in kept:
            return  # fetched before, or put there by hand: the network may not be needed
    url = next((url for url in urls if url.startswith("http")), None)
    if url is None:
        return
    try:
        requests.head(url, timeout=_CONNECT_SECONDS)
    except requests.exceptions.ConnectionError as error:
        package = packaged.PACKAGES.get(builder.name)
        install = f"install Debian's package {package.name}, " if package else ""
        raise DataError(
            f"{builder.info.full_name} cannot be downloaded: no connection to "
            f"{urlparse(url).hostname}.\n"
            f"Check the network (HTTPS_PROXY is honoured), {install}or copy the dataset from a "
            f"machine that has it to {builder.data_dir}."
        ) from error
    except requests.exceptions.RequestException:
        return  # the host answers, if oddly; TFDS knows better what to ask it


def _shorten(error: Exception, most: int = 400) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= most else text[:most] + "…"
