"""TFDS builders over text that lies on this machine: no download.

A split is one example, which holds all of its text: what a language model reads in windows.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from pipeline.data.builders.unlisted import Unlisted

SPLITS = {"train": 0.9, "validation": 0.05, "test": 0.05}  # of the characters, in this order


class _Text(Unlisted, skip_registration=True):  # type: ignore[call-arg]
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    NEEDS_NO_DOWNLOAD: ClassVar[bool] = True
    METADATA: ClassVar[dict[str, str]]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            supervised_keys=None,
            **self.METADATA,
        )

    @abstractmethod
    def _text(self) -> str:
        """All of it."""

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {name: self._generate_examples(part) for name, part in parts(self._text()).items()}

    def _generate_examples(self, text: str) -> Iterator[tuple[str, dict[str, str]]]:
        yield "text", {"text": text}


def parts(text: str) -> dict[str, str]:
    """The text of each split: the first nine tenths to train on, then half of the rest each."""
    first = int(len(text) * SPLITS["train"])
    second = int(len(text) * (SPLITS["train"] + SPLITS["validation"]))
    return {"train": text[:first], "validation": text[first:second], "test": text[second:]}


class TextFile(_Text):
    """``text``, of files of your own or out of an installed package, each after the other.

    The folder is named after the files and a digest of what is in them: where they change, that is
    another dataset.

    Args:
        files: paths of UTF-8 text, or patterns such as ``docs/*.md``, below the folder that the
            command runs in; several follow each other in the order given, those of a pattern by
            name.
        package: the installed package that they lie in, such as ``sklearn``.

    Raises:
        ValueError: no such package or file, or one that is no text.
    """

    METADATA: ClassVar[dict[str, str]] = {
        "description": "Text files: 90 percent to train on, then 5 to validate and 5 to test.",
        "license": "that of the files",
    }

    def __init__(
        self, *, files: str | Sequence[str] = (), package: str | None = None, **options: Any
    ) -> None:
        patterns = [files] if isinstance(files, str) else list(files)
        self.paths = _found(patterns, package)
        given = "_".join([*([package] if package else []), *patterns])
        named = re.sub(r"[^A-Za-z0-9]+", "_", given).strip("_")[:40]
        digest = hashlib.sha256(self._text().encode()).hexdigest()[:12]
        super().__init__(called=f"{named}-{digest}", **options)

    def _text(self) -> str:
        text = "\n\n".join(_read(path) for path in self.paths)
        if not all(parts(text).values()):
            raise ValueError(
                f"text_file: the files hold {len(text)} characters; 20 or more are expected, so "
                "that each split has some"
            )
        return text


def _found(patterns: Sequence[str], package: str | None) -> list[Path]:
    folder = Path.cwd()
    if package is not None:
        spec = importlib.util.find_spec(package.partition(".")[0])
        if "." in package or spec is None or not spec.submodule_search_locations:
            raise ValueError(
                f"text_file: package={package}; expected the name of an installed package, with "
                "the folders in it as a part of files: package=sklearn "
                "files=[datasets/descr/*.rst]"
            )
        folder = Path(next(iter(spec.submodule_search_locations)))
    if not patterns:
        raise ValueError("text_file: files is empty; expected paths or patterns, as docs/*.md")
    paths: dict[Path, None] = {}
    for pattern in patterns:
        path = folder / pattern  # an absolute pattern stays what it is
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        files = [each for each in found if each.is_file()]
        if not files:
            raise ValueError(f"text_file: files={pattern}; there is no such file below {folder}")
        paths.update(dict.fromkeys(files))
    return list(paths)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"text_file: {path} is not text in UTF-8: byte {error.start} is "
            f"0x{error.object[error.start]:02x}. Convert it, or leave it out of files."
        ) from error


class PythonReference(_Text):
    """``text``: The Python Language Reference, as Python's ``help()`` shows it; about 370 kB.

    Its folder is named after the version of Python, whose text it is.
    """

    METADATA: ClassVar[dict[str, str]] = {
        "description": """
Chapters of the Python documentation, as every Python carries them for help(): English prose with
code in it. They quote one another, and each paragraph is kept once. The splits are train (the
first 90 percent), validation (5) and test (5), by position.
""",
        "homepage": "https://docs.python.org/3/reference/",
        "citation": """
@manual{pythonreference,
  author = {{Python Software Foundation}},
  title = {The Python Language Reference},
  url = {https://docs.python.org/3/reference/}
}
""",
        "license": "Python Software Foundation License Version 2",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(called=f"python{platform.python_version()}", **options)

    def _text(self) -> str:
        from pydoc_data.topics import topics

        paragraphs: dict[str, None] = {}
        for name in sorted(topics):
            paragraphs.update(dict.fromkeys(topics[name].strip("\n").split("\n\n")))
        return "\n\n".join(paragraphs)
