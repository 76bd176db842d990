"""What Hydra and OmegaConf say when composing fails, said so that it can be mended.

Each answer names the key or the file, what was given, and the nearest that is valid.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from pipeline import signatures
from pipeline.errors import ConfigError, UserError, did_you_mean, did_you_mean_key

if TYPE_CHECKING:
    from pipeline.composing import Composer

# OmegaConf's text -> what it expected.
_EXPECTED = (
    (r"converted to Integer", "a whole number"),
    (r"converted to Float", "a number"),
    (r"not a valid bool", "true or false"),
    (r"to string", "text"),
    (r"not a ListConfig|Cannot assign .* to List", "a list, such as [a, b]"),
    (r"is not a subclass of|to Dict|Cannot merge", "a mapping of keys to values"),
)


@contextmanager
def explained(composer: Composer, overrides: Sequence[str]) -> Iterator[None]:
    """Whatever is raised inside comes out as a ``ConfigError`` that says what to mend."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(explain(error, composer, list(overrides))) from error


def explain(error: Exception, composer: Composer, overrides: list[str]) -> str:
    """The message for an exception of Hydra's, OmegaConf's or the YAML reader's."""
    text = str(error).strip()
    origin = error.__cause__ or error.__context__
    if isinstance(error, OverrideParseException):
        return _unreadable_override(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"{_short(mark.name)}, line {mark.line + 1}" if mark else "a config file"
        return f"{where}: not valid YAML: {error.problem or error.context}; correct that line"
    if isinstance(error, UnicodeDecodeError):
        return f"a config file is not UTF-8 text ({error.reason}){_chosen(overrides)}"
    if isinstance(error, MissingConfigException):
        return _missing_config(error, composer, overrides)
    if isinstance(error, OSError):
        advice = "its folder must be there, and yours to use; tracking.root=… sets another for runs"
        return f"{error.filename}: {error.strerror}; {advice}"
    file = re.match(r"In '([^']+)'", text)
    prefix = f"{_path_of(file[1], composer)}: " if file else ""
    for pattern, answer in _ANSWERS:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return prefix + answer(found, composer, overrides)
    if isinstance(origin, OmegaConfBaseException):
        return prefix + _wrong_value(origin, composer, overrides, text)
    known = isinstance(error, (HydraException, OmegaConfBaseException, ValueError))
    kind = "" if known else f"{type(error).__name__}: "
    said = _first_line(text) or type(error).__name__
    return f"{prefix}{kind}{said}; check the overrides{_chosen(overrides)}"


# Overrides ---------------------------------------------------------------------------------------


def _unreadable_override(error: OverrideParseException) -> str:
    given = error.override
    if "=" not in given:
        return f"{given!r} is not an override; write key=value, such as seed=1 or dataset=mnist"
    key, _, value = given.partition("=")
    return (
        f"{given!r} cannot be read: {_first_line(error.message).removeprefix('Error parsing ')}; "
        f"put a value with special characters in quotes: '{key}=\"{value}\"'"
    )


def _not_a_choice(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    key = found[1]
    groups = composer.groups()
    if key in groups:
        given = next((o for o in overrides if o.startswith(f"{key}=")), f"{key}=…")
        return f"{given}: {key!r} is not chosen by default, so it is added with a plus: +{given}"
    return f"{key}: there is no group {key!r}. {did_you_mean(key, groups)}"


def _chosen_twice(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    key = found[1]
    given = [o for o in overrides if o.lstrip("+").startswith(f"{key}=")]
    if len(given) > 1:
        return f"{' '.join(given)}: choose one {key}"
    return f"+{key}=…: {key!r} is chosen already; leave the plus out: {key}=…"


def _several_values(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    given = found[1]
    key, _, values = given.partition("=")
    return (
        f"{given}: several values; add -m before the overrides to run each of them, write "
        f"{key}=[{values}] for a list, or quote text with a comma: {key}='\"{values}\"'"
    )


def _sweep_function(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    return f"{found[1]}: several values; add -m before the overrides to run each of them"


def _not_deletable(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    hint = did_you_mean_key(found[1], _valid(composer, overrides))
    return f"~{found[1]}: there is nothing to remove. {hint}"


def _already_there(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    return f"+{found[1]}=…: it is there already; leave the plus out to change it: {found[1]}=…"


def _not_a_name(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    groups = composer.groups()
    for override in overrides:
        key, _, value = override.partition("=")
        if not key.strip("+~"):
            return f"{override!r} has no key; write key=value, such as seed=1"
        if key.lstrip("+") in groups:
            options = ", ".join(groups[key.lstrip("+")])
            if not re.fullmatch(r"[A-Za-z_].*", value) or value == "null":
                return f"{override}: {value!r} is not an option of {key}. Valid: {options}."
    return "a config group is given what is not a name; write group=option"


def _no_group_to_add(found: re.Match[str], composer: Composer, overrides: list[str]) -> str:
    hint = did_you_mean(found[2], composer.groups())
    return f"{found[1]}: there is no group {found[2]!r}. {hint}"


_Answer = Callable[[re.Match[str], "Composer", list[str]], str]
_ANSWERS: tuple[tuple[str, _Answer], ...] = (
    (r"Could not override '([^']+)'\. ?No match in the defaults", _not_a_choice),
    (r"Could not override '([^']+)'\.\nDid you mean to override", _not_a_choice),
    (r"Could not delete '([^'=]+)=?[^']*'\. No match", _not_deletable),
    (r"Multiple values for ([^\s.]+)\.", _chosen_twice),
    (r"Ambiguous value for argument '(.*?)'\n", _several_values),
    (r"Sweep parameters '(.*?)' requires", _sweep_function),
    (r"Could not delete from config\. '([^']+)' does not exist", _not_deletable),
    (r"Could not append to config\. An item is already at '([^']+)'", _already_there),
    (r"Config group override must be a string or a list", _not_a_name),
    (
        r"Override (\S+) looks like a config group override, but config group '([^']+)'",
        _no_group_to_add,
    ),
)


# Files -------------------------------------------------------------------------------------------


def _missing_config(error: MissingConfigException, composer: Composer, overrides: list[str]) -> str:
    wanted = error.missing_cfg_file or ""
    group, _, option = wanted.rpartition("/")
    if not group:
        return f"there is no config {wanted!r}; give --config-name the name of a file in conf/"
    groups = composer.groups()
    if group not in groups and group.split("/")[0] in groups:
        group, _, option = wanted.partition("/")
    options = [o for o in error.options or groups.get(group, []) if o != "schema"]
    if not options and "@experiment" in wanted:
        return (
            f"{wanted}: an experiment file must begin with the line `# @package _global_`, before "
            "any other; without it what it overrides is looked for below `experiment`"
        )
    if not options:
        return f"{wanted}: there is no group {group!r}. {did_you_mean(group, groups)}"
    given = next((o for o in overrides if o.lstrip("+") == f"{group}={option}"), None)
    where = f"{given}: " if given else f"{_mentioning(option, composer, overrides)}{group}: "
    return f"{where}there is no {group} {option!r}. {did_you_mean(option, options)}"


def _mentioning(option: str, composer: Composer, overrides: list[str]) -> str:
    """The chosen file that asks for ``option``: ``conf/experiment/x.yaml: ``."""
    names = [composer.config_name]
    names += [o.lstrip("+").replace("=", "/", 1) for o in overrides if "=" in o and "." not in o]
    for name in reversed(names):
        file = _file_of(name, composer)
        try:
            if file and re.search(rf"\b{re.escape(option)}\b", file.read_text(encoding="utf-8")):
                return f"{_short(str(file))}: "
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def _file_of(name: str, composer: Composer) -> Path | None:
    for source in composer.loader.get_sources():
        if source.scheme() == "file":
            path = Path(source.path) / f"{name.removesuffix('.yaml')}.yaml"
            if path.is_file():
                return path
    return None


def _path_of(name: str, composer: Composer) -> str:
    file = _file_of(name, composer)
    return _short(str(file)) if file else name


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _chosen(overrides: Sequence[str]) -> str:
    chosen = [o for o in overrides if o.startswith("+") or "." not in o.partition("=")[0]]
    return f" ({' '.join(chosen)})" if chosen else ""


# Values ------------------------------------------------------------------------------------------


def _wrong_value(
    origin: OmegaConfBaseException, composer: Composer, overrides: list[str], text: str
) -> str:
    key = str(origin.full_key or "")
    said = _first_line(str(origin))
    if isinstance(origin, GrammarParseError):
        return f"{key}: an interpolation cannot be read ({said}); write ${{key}}"
    if re.match(r"Key '.*' (not in|is not in)", said):
        return _no_such_key(key, composer, overrides, text)
    if "does not support deletion" in said:
        return f"~{key}: it cannot be taken away; change its value with {key}=…"
    expected = next((words for pattern, words in _EXPECTED if re.search(pattern, said)), None)
    if expected is None and "is not Optional" in said:
        return f"{key}: null is given, but it needs a value{_such_as(key, composer, overrides)}"
    if expected is None:
        return f"{key or 'the config'}: {said}"
    if not key:  # a whole section was given something else; OmegaConf does not say which
        section = re.search(r"not a subclass of (\w+)", said)
        key = section[1].lower() if section else "the file"
    given = re.search(r"[Vv]alue:? '?(.*?)'?( of type| is not a valid|$)", said)
    override = next((o for o in overrides if o.lstrip("+").startswith(f"{key}=")), None)
    shown = override.partition("=")[2] if override else given[1] if given else "a value"
    return f"{key}: {shown!r} is given; {expected} is expected{_such_as(key, composer, overrides)}"


def _no_such_key(key: str, composer: Composer, overrides: list[str], text: str) -> str:
    asked = re.search(r"Could not override '([^']+)'", text)
    rest = asked[1].removeprefix(key) if asked and asked[1].startswith(key) else ""
    if key.split(".")[0] == "hydra":
        return f"{key}: Hydra has no such setting; `--cfg hydra` shows those that it has"
    if asked and asked[1].startswith("dataset.mix."):
        return f"{asked[1]}: not in the config yet; add it with a plus: +{asked[1]}=…"
    base = _valid(composer, overrides)
    owner = base.get(key.rpartition(".")[0])
    leaf = key.rpartition(".")[2]
    if isinstance(owner, dict) and "_target_" in owner:
        found = signatures.find(str(owner["_target_"]))
        signature = found.signature if isinstance(found, signatures.Found) else None
        if signature and leaf in signature.parameters and asked:
            name = owner["_target_"].split(".")[-1]
            return f"{key}: not in the config, but {name} takes it; add it with a plus: +{key}=…"
    keys = [*base, *(composer.groups() if "." not in key else ())]
    hint = did_you_mean_key(key, keys)
    if rest:  # the misspelt part stands in the middle of what was written
        hint = re.sub(r"'([^']+)'", lambda m: f"'{m[1]}{rest}'" if m[1] in base else m[0], hint)
    if asked and key.startswith(f"{asked[1]}."):  # it is in the mapping that was given
        hint += f" A new one is added with a plus: +{key}=…"
    return f"{key}{rest}: there is no such key. {hint}"


def _such_as(key: str, composer: Composer, overrides: list[str]) -> str:
    value = _valid(composer, overrides).get(key)
    usable = value is not None and not isinstance(value, (dict, list)) and value != "???"
    if not usable:
        return ""
    return f", such as {str(value).lower() if isinstance(value, bool) else value}"


def _valid(composer: Composer, overrides: list[str]) -> dict[str, Any]:
    """Every key that can be given, dotted, with its default, as the chosen groups have it."""
    groups = composer.groups()
    chosen = [o for o in overrides if o.partition("=")[0].lstrip("+") in groups]
    for attempt in (chosen, []):
        try:
            cfg = composer.loader.load_configuration(
                composer.config_name, attempt, run_mode=RunMode.MULTIRUN
            )
        except Exception:  # of several mistakes one is reported at a time
            continue
        plain = OmegaConf.to_container(cfg, resolve=False)
        return dict(_flat(plain)) if isinstance(plain, dict) else {}
    return {}


def _flat(node: dict[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if not path and key == "hydra":
            continue
        yield f"{path}{key}", value
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]
