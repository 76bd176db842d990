"""The part of ``preflight.py`` that is about which data is read: features and splits, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard, get_type_hints

from pipeline.config import Mixed
from pipeline.errors import did_you_mean_key
from pipeline.targets import UNKNOWN

_SPLIT = re.compile(r"[\w.-]+(\[[^\[\]:]*:[^\[\]:]*\])?")
_EXAMPLES = {
    "dataset.name": "mnist",
    "dataset.inputs": "image",
    "dataset.target": "label",
}


def problems(flat: Mapping[str, Any]) -> Iterator[str]:
    """One line each; ``flat``: every dotted key of the config."""
    yield from _check_expressions(flat)
    if "dataset.splits.validation" in flat:
        yield from _check_held_out(flat)
    yield from _check_buckets(flat)
    mix = flat.get("dataset.mix")
    if mix and isinstance(mix, Mapping):
        yield from _check_mix(mix, flat)
    for key in ("dataset.inputs", "dataset.target"):
        yield from _check_names(key, flat.get(key))
    inputs = _listed(flat.get("dataset.inputs"))
    for name in _listed(flat.get("dataset.target")):
        if isinstance(name, str) and name in inputs:
            yield f"dataset.target: {name!r} is among dataset.inputs too; take it out of one"


def _check_expressions(flat: Mapping[str, Any]) -> Iterator[str]:
    for key, value in flat.items():
        if not key.startswith("dataset.") or not isinstance(value, str):
            continue
        if key.startswith("dataset.splits."):
            yield from _check_expression(key, value)
        elif key in _EXAMPLES and not value.strip():
            yield f"{key}: an empty name; give one, such as {key}={_EXAMPLES[key]}"


def _check_expression(key: str, value: str) -> Iterator[str]:
    if not all(_SPLIT.fullmatch(part.strip()) for part in value.split("+")):
        yield f"{key}: {value!r} is not a split; write 'train', or 'train[:90%]' for a part"


def _check_names(key: str, value: Any) -> Iterator[str]:
    """Features are named by text, each once."""
    if value is None or value is UNKNOWN:
        return
    names = _listed(value)
    if not all(isinstance(name, str) or name is UNKNOWN for name in names):
        yield (
            f"{key}: {value!r} is given; the name of a feature, or a list of names, is expected, "
            f"such as {key}={_EXAMPLES[key]}"
        )
    elif len({*names}) < len(names):
        yield f"{key}: {', '.join(map(str, names))}: a feature is named twice; name each once"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def modules(flat: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys and names of the modules that are imported for their builders."""
    mix = flat.get("dataset.mix")
    names = mix if isinstance(mix, Mapping) else ()
    for key in ("dataset.module", *(f"dataset.mix.{name}.module" for name in names)):
        if isinstance(flat.get(key), str):
            yield key, flat[key]


def _check_mix(mix: Mapping[str, Any], flat: Mapping[str, Any]) -> Iterator[str]:
    for name, part in mix.items():
        yield from _check_mixed(str(name), part)
    shares = {str(n): p.get("share", 0) for n, p in mix.items() if isinstance(p, Mapping)}
    total = sum(share for share in shares.values() if _is_share(share))
    if total >= 1 and all(map(_is_share, shares.values())):
        yield (
            f"dataset.mix: the shares of {', '.join(shares)} are {total:g} together; less than 1 "
            "is expected, since what is left is the share of the dataset itself"
        )
    if flat.get("dataset.order") == "contiguous":
        yield (
            "dataset.mix: order=contiguous goes through one split as it is stored; write "
            "dataset.order=shuffled, or leave the mix out"
        )


def _check_mixed(name: str, part: Any) -> Iterator[str]:
    """What is wrong with one set of the mix."""
    at = f"dataset.mix.{name}"
    if not re.fullmatch(r"[\w-]+", name):
        yield f"{at}: {name!r} is no name for a set; letters, digits, _ and - make one"
    if not isinstance(part, Mapping):
        yield (
            f"{at}: {part!r} is given; keys and values are expected, such as "
            f"+{at}.name=emnist/digits +{at}.share=0.25"
        )
        return
    kinds = get_type_hints(Mixed)
    for key in part.keys() - kinds.keys():
        valid = [f"{at}.{known}" for known in kinds]
        yield f"{at}.{key}: there is no such key. {did_you_mean_key(f'{at}.{key}', valid)}"
    for key, example in {"name": "emnist/digits", "share": "0.25"}.items():
        if part.get(key) is None:
            yield f"{at}.{key}: nothing is given and there is no default; add +{at}.{key}={example}"
    for key in kinds.keys() - {"share", "options"}:
        value = part.get(key)
        if not isinstance(value, str | None) and value is not UNKNOWN:
            yield f"{at}.{key}: {value!r} is given; text is expected"
        elif isinstance(value, str) and not value.strip():
            yield f"{at}.{key}: an empty text; leave the key out, or give one"
    split, share, options = part.get("split"), part.get("share"), part.get("options")
    if isinstance(split, str) and split.strip():
        yield from _check_expression(f"{at}.split", split)
    if isinstance(share, int | float) and not isinstance(share, bool):
        if not _is_share(share):
            yield (
                f"{at}.share: {share} is out of range; a number in (0, 1) is expected, the "
                "share of the examples of training that come out of this set"
            )
    elif share is not None and share is not UNKNOWN:
        yield f"{at}.share: {share!r} is given; a number is expected, such as 0.25"
    if not isinstance(options, Mapping | None) and options is not UNKNOWN:
        yield f"{at}.options: {options!r} is given; the builder's arguments by name are expected"


def _is_share(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1


def _check_held_out(flat: Mapping[str, Any]) -> Iterator[str]:
    name, share = flat.get("dataset.splits.validation"), flat.get("dataset.splits.hold_out")
    if name is not None and share is not None:
        yield (
            f"dataset.splits.hold_out: {share} of the training split, but splits.validation={name} "
            "is given too; write dataset.splits.validation=null to hold out, or "
            "dataset.splits.hold_out=null to keep that split"
        )
    if name is None and share is None:
        yield (
            "dataset.splits.validation: null, and nothing is held out; name a split, or write "
            "dataset.splits.hold_out=0.1 to validate with a tenth of the training split"
        )
    if share is None and flat.get("dataset.splits.stratify"):
        yield (
            "dataset.splits.stratify: nothing is held out that could be; add "
            "dataset.splits.hold_out=0.1 and dataset.splits.validation=null"
        )


def _check_buckets(flat: Mapping[str, Any]) -> Iterator[str]:
    """Lengths that ascend, and data whose order is by chance and known before training."""
    buckets = flat.get("dataset.buckets")
    if not buckets or not all(isinstance(length, int) for length in buckets):
        return
    given = f"dataset.buckets: {buckets}"
    if min(buckets) < 1:
        yield f"{given} has a length below 1; lengths of sequences are expected, such as [32, 64]"
    elif buckets != sorted(set(buckets)):
        yield f"{given} does not ascend; write {sorted(set(buckets))}"
    if flat.get("dataset.order") == "contiguous":
        yield (
            "dataset.order: contiguous, where each row goes on from batch to batch, but "
            "dataset.buckets puts examples together by length; use dataset.order=shuffled, or no "
            "buckets"
        )
    if flat.get("dataset.feed") == "stream":
        yield (
            "dataset.feed: stream, but dataset.buckets looks at the length of every example before "
            "training; use dataset.feed=resident, or no buckets"
        )
    if flat.get("dataset.mix"):
        yield (
            "dataset.mix: each batch has its share of every set, but dataset.buckets makes batches "
            "by length; leave one of the two out"
        )
