"""Official downloads that a package of the system holds already, so that nothing is fetched.

TFDS looks for files that were fetched by hand in a folder that it is given, and takes those whose
checksums are the official ones. Here they are put into such a folder.

Debian's ``dataset-fashion-mnist`` holds the files of Fashion-MNIST as their authors compressed
them, but for the name and the time in the header of each, which Debian's build takes out so that
it can be repeated. With both put back they are the official files to the byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow_datasets as tfds

_log = logging.getLogger(__name__)

_NAMELESS = b"\x1f\x8b\x08\x00"  # how a gzip file begins: RFC 1952, 2.3
_NAMED = b"\x1f\x8b\x08\x08"  # one that tells its name


@dataclass(frozen=True)
class Package:
    """What of a dataset's downloads a package of the system installs.

    Attributes:
        name: of the package.
        folder: where it installs the files.
        times: of each file, by its name, when it was compressed: seconds since 1970.
    """

    name: str
    folder: Path
    times: Mapping[str, int]


PACKAGES = {  # by TFDS's name of the dataset
    "fashion_mnist": Package(
        name="dataset-fashion-mnist",
        folder=Path("/usr/share/datasets/fashion-mnist"),
        times={
            "t10k-images-idx3-ubyte.gz": 1504176627,
            "t10k-labels-idx1-ubyte.gz": 1504176627,
            "train-images-idx3-ubyte.gz": 1504176606,
            "train-labels-idx1-ubyte.gz": 1504176606,
        },
    ),
}


def installed(builder: tfds.core.DatasetBuilder) -> Package | None:
    """The package that has the official downloads of ``builder``, all of them; None: there is none.

    A file whose checksum is not the one that TFDS expects is none of them, which is logged.
    """
    package = PACKAGES.get(builder.name)
    if package is None:
        return None
    sums = {info.filename: info.checksum for info in (builder.url_infos or {}).values()}
    for name in package.times:
        try:
            content = _official(package, name)
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sums.get(name):
            path = package.folder / name
            _log.warning("%s is not used: its SHA-256 is not the one that TFDS expects", path)
            return None
    return package


@contextlib.contextmanager
def by_hand(package: Package) -> Iterator[tfds.download.DownloadConfig]:
    """How TFDS is told to take the files of ``package``: a scratch folder has them meanwhile."""
    with tempfile.TemporaryDirectory(prefix=f"{package.name}-") as scratch:
        for name in package.times:
            Path(scratch, name).write_bytes(_official(package, name))
        # TFDS names what it extracts after the file alone, and MNIST's files have these names too.
        extracted = Path(scratch, "extracted")
        yield tfds.download.DownloadConfig(manual_dir=scratch, extract_dir=extracted)


def _official(package: Package, name: str) -> bytes:
    """A file as its authors published it: with its name and time in the gzip header."""
    content = (package.folder / name).read_bytes()
    if content[:4] != _NAMELESS:
        return content
    header = _NAMED + struct.pack("<I", package.times[name]) + content[8:10]
    return header + name.removesuffix(".gz").encode() + b"\0" + content[10:]
