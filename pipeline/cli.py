"""What every verb does at the command line: compose, check, report, exit.

A config that cannot run is refused in about a second, before TensorFlow, MLflow or any data is
loaded. ``@hydra.main`` then runs the verb, so that sweeps, launchers, ``--cfg`` and tab completion
work as Hydra's own documentation says.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import gc
import json
import math
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.pipeline_search import OptunaSearch, ShuffledGrid
from pipeline import preflight
from pipeline.composing import VERSION_BASE, Composer, compose, conf_dir, without_hydra
from pipeline.composition_errors import explained
from pipeline.console import complain, say
from pipeline.errors import ConfigError, UserError
from pipeline.sweep import Command, read, recall
from pipeline.trial import chosen, share_machine

__all__ = ["compose", "conf_dir", "hydra_main", "reporting", "verb"]

# Trials of a sweep that are checked before the first one starts; each is checked when it starts.
CHECKED_TRIALS = 32

# Names the folder in which the trials of a sweep, in whatever process, say how they ended.
_OUTCOMES = "PIPELINE_SWEEP_OUTCOMES"

EXAMPLES = """\
  python -m pipeline.train +experiment=digits
  python -m pipeline.train +experiment=digits_cnn dataset=mnist trainer.batch_size=128
  python -m pipeline.train +experiment=digits optimizer=momentum schedule=warmup_cosine
  python -m pipeline.train -m +experiment=digits optimizer.learning_rate=1e-2,1e-3 seed=0,1
  python -m pipeline.train resume=latest"""


def reporting(fn: Callable[[], int | None]) -> int:
    """Run ``fn``; a ``UserError`` is printed as one sentence and becomes its exit code."""
    try:
        return fn() or 0
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        complain(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:  # whoever reads has enough: `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as SIGPIPE would end it


def verb(main: Callable[[Sequence[str]], int | None], usage: str | None) -> None:
    """Run ``main(overrides)`` for the command line; ``--help`` prints ``usage`` instead."""
    given = sys.argv[1:]
    if {"-h", "--help"} & set(given):
        say((usage or "").strip().replace("``", ""))
        return
    collect_rarely()
    sys.exit(reporting(lambda: main(given)))


Sweep = Callable[[Command, Callable[[], None], Path], None]  # pipeline.sweep.run is one


def hydra_main(
    config_name: str, run: Callable[[DictConfig], float | None], sweep: Sweep | None = None
) -> None:
    """Run ``run(config)`` for the command line in ``sys.argv``; several times for a sweep.

    ``run`` returns the objective, which sweepers maximise or minimise. Exits with 2 for a config
    that cannot run, with 1 where a trial of a sweep failed; a ``SystemExit`` of ``run`` passes.

    Args:
        sweep: called with the command, what starts all trials, and a folder in which each says how
            it ended; by default they are just started.
    """
    collect_rarely()
    code = reporting(lambda: _main(config_name, run, sweep))
    if code:
        sys.exit(code)


def collect_rarely() -> None:
    """For a process of our own: hardly ever look through all objects of Python's for cycles.

    While TensorFlow and MLflow load and functions are traced, hundreds of thousands of objects come
    to stay, and looking through them again and again took a seventh of the time to a first result.
    New ones are looked through as often as ever. On the way out, where it takes seconds to free
    what the end of the process frees anyway, none are.
    """
    new, young, _ = gc.get_threshold()
    gc.set_threshold(new, young, 1000)  # usually 10
    atexit.register(gc.freeze)


def _main(config_name: str, run: Callable[[DictConfig], float | None], sweep: Sweep | None) -> int:
    args = _arguments()
    composer = Composer(args.config_name or config_name, args.config_dir)
    if sweep is not None and _recall(composer, args):
        args = _arguments()
        composer = Composer(args.config_name or config_name, args.config_dir)
    if args.help:
        say(_help(composer, run))
        return 0
    asks = args.cfg or args.info or args.shell_completion or args.hydra_help
    trusted: list[str] | None = None
    command: Command | None = None
    if not asks and args.experimental_rerun is None and args.config_path is None:
        trusted, command = _check_command(composer, args)
    started = None if sweep is None or command is None else functools.partial(sweep, command)
    varied = frozenset(command.space) if command else None
    return _hand_over(composer, config_name, _Task(run, trusted, varied), args, started)


def _recall(composer: Composer, args: argparse.Namespace) -> bool:
    """Whether ``sweep.resume=<id>`` stands alone; the command is then the sweep's own again."""
    given = [o for o in args.overrides if o.startswith("sweep.resume=")]
    if not given or given[-1].partition("=")[2] in ("new", "null", ""):
        return False
    overrides, flags = recall(without_hydra(composer.load(args.overrides, sweep=True)))
    sys.argv[1:] = [*overrides, *(o for o in args.overrides if o not in overrides), "-m", *flags]
    return True


def _arguments() -> argparse.Namespace:
    """Hydra's own flags, which may stand between the overrides: ``seed=0,1 -m model=mlp,cnn``."""
    args = get_args_parser().parse_intermixed_args()
    given = sys.argv[1:]
    flags = [word for word in given if word not in args.overrides]
    sys.argv[1:] = [*args.overrides, *flags]  # @hydra.main reads them again, one after the other
    return args


def _hand_over(
    composer: Composer,
    config_name: str,
    task: _Task,
    args: argparse.Namespace,
    sweep: Callable[[Callable[[], None], Path], None] | None,
) -> int:
    decorate = hydra.main(
        config_path=str(conf_dir()), config_name=config_name, version_base=VERSION_BASE
    )
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        surroundings = _environment(HYDRA_FULL_ERROR="1", **{_OUTCOMES: folder})
        with surroundings, explained(composer, args.overrides):
            if sweep is not None:  # which an editable install hides from Hydra's search
                Plugins.instance().register(OptunaSearch)
                Plugins.instance().register(ShuffledGrid)
            launch = decorate(task)
            if sweep is None:
                launch()
            else:
                sweep(launch, Path(folder))
        outcomes = read(Path(folder))
    failures = [f"{o['label']}: {o['message']}" for o in outcomes if o["message"]]
    if failures:
        lines = "\n".join(f"  {failure}" for failure in failures)
        complain(f"error: {len(failures)} of {len(outcomes)} trials failed:\n{lines}")
    return 1 if failures else 0


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# Before anything runs ----------------------------------------------------------------------------


def _check_command(
    composer: Composer, args: argparse.Namespace
) -> tuple[list[str], Command | None]:
    """Check the config, or the trials of a sweep; returns the packages that are trusted, and what
    the sweep is."""
    overrides = args.overrides
    several = any(override.is_sweep_override() for override in composer.parse(overrides))
    master = composer.load(overrides, sweep=args.multirun or several)
    trusted = list(OmegaConf.select(master, "trusted_packages") or [])
    preflight.check_callbacks(master.hydra.callbacks, trusted)
    if not args.multirun and master.hydra.mode != RunMode.MULTIRUN:
        cfg = composer.load(overrides) if several else master  # several without -m: says so
        preflight.check(without_hydra(cfg))
        return trusted, None
    params = OmegaConf.select(master, "hydra.sweeper.params") or {}
    listed = [
        f"{key}={value}" for key, value in params.items() if isinstance(value, str | int | float)
    ]
    _check_sweep(composer, [*listed, *overrides], trusted)
    space = composer.space([*listed, *overrides])
    flags = [f"--config-dir={args.config_dir}"] if args.config_dir else []
    flags += [f"--config-name={args.config_name}"] if args.config_name else []
    sweeper = master.hydra.sweeper._target_.rpartition(".")[2]
    grid = math.prod(len(values) for values in space.values())
    total = {"BasicSweeper": grid, "OptunaSearch": master.sweep.trials}.get(sweeper)
    if sweeper == "BasicSweeper" and master.sweep.prune_from:
        sys.argv.insert(1, "hydra/sweeper=shuffled_grid")  # flags come last
    here = "BasicLauncher" in master.hydra.launcher._target_
    return trusted, Command(without_hydra(master), overrides, flags, space, total, here)


def _check_sweep(composer: Composer, overrides: list[str], trusted: list[str]) -> None:
    first: list[str] = []
    for trial in composer.trials(overrides, CHECKED_TRIALS):
        changed = [override for override in trial if override not in first]
        try:
            cfg = without_hydra(composer.load(trial))
            _require_trust(cfg, trusted)
            preflight.check(cfg)
        except ConfigError as error:
            where = f" (in the trial with {' '.join(changed)})" if first else ""
            raise ConfigError(f"{error}{where}") from error
        first = first or trial


def _require_trust(cfg: DictConfig, trusted: list[str]) -> None:
    """Refuse a trial that trusts more than the command line does: a file's own sweep may set it."""
    given = list(OmegaConf.select(cfg, "trusted_packages") or [])
    if given != trusted:
        names = ",".join(map(str, given))
        raise ConfigError(
            f"trusted_packages: a sweep in a config file gives trust to {names}; if you trust it, "
            f"add 'trusted_packages=[{names}]' to the command line"
        )


# The run itself ----------------------------------------------------------------------------------


class _Task:
    """``run``, with its errors reported. At the top level of a module, so that launchers that
    start other processes can send it there."""

    def __init__(
        self,
        run: Callable[[DictConfig], float | None],
        trusted: list[str] | None,
        varied: frozenset[str] | None,
    ) -> None:
        functools.update_wrapper(self, run)
        self.run = run
        self.trusted = trusted
        self.varied = varied  # keys that tell the trials of a sweep apart; None: all

    def __call__(self, cfg: DictConfig) -> float | None:
        hydra_cfg = HydraConfig.get()
        workers = hydra_cfg.launcher.get("n_jobs") or 1
        if hydra_cfg.mode == RunMode.MULTIRUN and workers != 1:
            share_machine(workers, hydra_cfg.job.num)
        message, code, value = self._report(cfg)
        if hydra_cfg.mode != RunMode.MULTIRUN:
            if code:
                raise SystemExit(code)
            return value
        # In a sweep the other trials go on; what became of this one is kept for the end.
        folder = Path(os.environ.get(_OUTCOMES, ""))
        if os.environ.get(_OUTCOMES) and folder.is_dir():
            finite = value is not None and math.isfinite(value)
            words = " ".join(chosen(hydra_cfg, self.varied))
            said = {
                "label": f"trial {hydra_cfg.job.num + 1}: {words}",
                "message": message,
                "value": float(value) if finite and value is not None else None,
                "pruned": getattr(value, "pruned", False),
            }
            fresh = folder / f"{hydra_cfg.job.num:06d}.new"
            fresh.write_text(json.dumps(said), encoding="utf-8")
            fresh.replace(fresh.with_suffix(".json"))
        return value

    def _report(self, cfg: DictConfig) -> tuple[str, int, float | None]:
        """First line of what went wrong, exit code, objective."""
        try:
            if self.trusted is not None:
                _require_trust(cfg, self.trusted)
            preflight.check(cfg)
            return "", 0, self.run(cfg)
        except UserError as error:
            complain(f"error: {error}")
            return str(error).split("\n")[0], error.exit_code, None
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
            own = error.__traceback__.tb_next if error.__traceback__ else None
            traceback.print_exception(type(error), error, own)
            complain(f"error: stopped by {said}; the traceback above says where")
            return said, 1, None


# Help --------------------------------------------------------------------------------------------


def _help(composer: Composer, run: Callable[[DictConfig], float | None]) -> str:
    """What can be chosen here, and how it is written."""
    primary = conf_dir() / f"{composer.config_name}.yaml"
    doc = sys.modules[run.__module__].__doc__ or run.__doc__ or composer.config_name
    defaults = OmegaConf.select(OmegaConf.load(primary), "defaults") or []
    chosen = {key for entry in defaults if isinstance(entry, DictConfig) for key in entry}
    groups = composer.groups()
    width = max(map(len, groups), default=0)
    lines = {True: "", False: ""}
    for group, options in groups.items():
        sign = " " if group in chosen else "+"
        lines[group in chosen] += f"  {sign}{group:<{width}} = {', '.join(options)}\n"
    return f"""\
{doc.strip().splitlines()[0]}

  python -m pipeline.{composer.config_name} [FLAGS] [GROUP=OPTION ...] [KEY=VALUE ...]

Groups, one option of each:
{lines[True]}
Groups that may be added:
{lines[False]}
Keys: any of those that `--cfg job` prints, such as trainer.batch_size=128.

Flags:
  -m, --multirun    run each combination of comma-separated values
  --cfg job         print the composed config and stop; --resolve with its interpolations
  --config-dir DIR  one more folder of configs
  --info, --hydra-help, --shell-completion: Hydra's own

Examples:
{EXAMPLES}"""
