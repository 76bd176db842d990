"""The typed schema of a config: every key that is not below a ``_target_``, its type and default.

The YAML under ``conf/`` lies on top of these dataclasses, so a misspelt key or a wrong type in any
file or override is an error. What a ``_target_`` takes is checked in ``preflight.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import II, MISSING


@dataclass
class Objective:
    """What a sweep maximises or minimises, and by which metric the best checkpoint is chosen."""

    metric: str = "val/accuracy"
    mode: str = "max"  # max | min


@dataclass
class Splits:
    """TFDS split expressions, slices allowed: ``train[:90%]``."""

    train: str = "train"
    validation: str | None = "validation"  # null: hold_out says how much of train
    test: str = "test"
    hold_out: float | None = None  # share of train to validate with, which chance chooses
    stratify: bool = False  # hold out so much of each class


@dataclass
class Mixed:
    """A further set to train on, and what share of the examples comes out of it.

    Its features, preprocessing, frame and augmentation are the dataset's.
    """

    name: str = MISSING  # TFDS name, as dataset.name
    share: float = MISSING  # of the examples of training, above 0 and below 1
    split: str = "train"  # TFDS split expression
    data_dir: str | None = None  # null: the dataset's
    module: str | None = None  # Python module to import that registers the builder
    options: dict[str, Any] = field(default_factory=dict)  # arguments of the builder


@dataclass
class Dataset:
    """Which TFDS builder is read, and which of its features."""

    name: str = MISSING  # TFDS name; name/config and name:version too
    data_dir: str | None = None  # null: TFDS_DATA_DIR, else ~/tensorflow_datasets
    module: str | None = None  # Python module to import that registers the builder
    options: dict[str, Any] = field(default_factory=dict)  # arguments of the builder
    inputs: Any = "image"  # feature the model sees, or a list of them; a/b: nested
    target: Any = "label"  # feature it predicts, or a list of numbers; null: none
    weight: str | None = None  # feature with the weight of each example
    classes: int | None = None  # null: from TFDS's own metadata
    outputs: int | None = II(".classes")  # a model's: classes, numbers, tokens; null: by the data
    vocabulary: int | None = None  # tokens that a text is made of; null: as preprocessing finds
    splits: Splits = field(default_factory=Splits)
    preprocess: dict[str, Any] = field(default_factory=dict)  # name -> _target_, in this order
    frame: Any = None  # _target_: target out of the inputs, such as the next token
    augment: dict[str, Any] = field(default_factory=dict)  # name -> _target_, in this order
    mix: dict[str, Any] = field(default_factory=dict)  # name -> Mixed: further sets to train on
    order: str = "shuffled"  # shuffled | contiguous: row i goes on where row i ended
    buckets: list[int] = field(default_factory=list)  # lengths that batches of sequences are cut to
    feed: str = "auto"  # auto | resident | stream
    memory: float = 1024.0  # MiB that a split may take; auto streams a larger one
    on_error: str = "stop"  # stop | skip: what cannot be read, which is counted and told


@dataclass
class EarlyStopping:
    """Stop when the objective has not improved for ``patience``; null: never."""

    patience: str | None = None
    min_delta: float = 0.0


@dataclass
class Trainer:
    """How long, how often, how fast.

    Periods are text (``pipeline.durations``): ``30 epochs``, ``500 steps``, ``10 percent``.
    """

    batch_size: int = 64  # global: over all replicas and microbatches
    duration: str = "30 epochs"
    evaluate_every: str = "1 epoch"
    checkpoint_every: str = "5 epochs"
    log_every: str = "50 steps"
    steps_per_call: int = 1000  # most optimizer steps in one call into the graph
    evaluation_batch_size: int = 512  # global
    compile: str = "auto"  # auto | loop | gradients | off
    precision: str = "float32"  # float32 | bfloat16
    clip_norm: float | None = None  # by global norm, after the replicas are summed
    accumulate: int = 1  # microbatches per optimizer step
    average: float | None = None  # decay of the moving average of weights; null: none
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    deterministic: bool = True
    checkpoint_seconds: float = 5.0  # least between two, the best waits in memory; 0: save each
    stop_within: float = 5.0  # seconds: bound on one call, so that signals are answered
    profile: int = 0  # steps to profile before training, which are undone; 0: none


@dataclass
class Strategy:
    """Which devices train."""

    replicas: int | None = None  # null: every GPU, else one CPU; N: N GPUs, else N logical CPUs


@dataclass
class Tracking:
    """Where runs are kept."""

    kind: str = "mlflow"  # mlflow | off
    uri: str | None = None  # null: sqlite in `root`; else an MLflow tracking URI
    root: str = "mlruns"  # local store, artifacts, journals, checkpoints in progress
    experiment: str = "default"
    run_name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    system_metrics: bool = True


@dataclass
class Sweep:
    """How the trials of ``-m`` are chosen, and which are given up. Outside of a sweep: nothing."""

    resume: str | None = None  # id of a sweep to go on with, or "new": not with the last one
    prune_from: str | None = None  # period until the first look at a trial; null: none is pruned
    prune_factor: int = 3  # one of so many goes on, until so many times as many steps
    sampler: str = "tpe"  # of +sweep=optuna: tpe | random | cmaes | grid
    trials: int = 20  # of +sweep=optuna
    parallel: int = 1  # of +sweep=optuna: trials proposed at a time, for a launcher that can
    seed: int = 0  # of +sweep=optuna: of the sampler
    objectives: dict[str, str] = field(default_factory=dict)  # further ones: metric -> max | min


@dataclass
class Train:
    """The whole config of ``pipeline.train``."""

    seed: int = 0
    objective: Objective = field(default_factory=Objective)
    dataset: Dataset = field(default_factory=Dataset)
    model: Any = MISSING  # _target_
    task: Any = MISSING  # _target_
    optimizer: Any = MISSING  # _target_
    schedule: Any = MISSING  # _target_
    trainer: Trainer = field(default_factory=Trainer)
    strategy: Strategy = field(default_factory=Strategy)
    tracking: Tracking = field(default_factory=Tracking)
    sweep: Sweep = field(default_factory=Sweep)
    trusted_packages: list[str] = field(default_factory=list)  # a _target_ may name these too
    resume: str | None = None  # run id, or "latest"


@dataclass
class Evaluate:
    """The whole config of ``pipeline.evaluate``."""

    run: str = MISSING  # run id, an unambiguous beginning of one, or "latest"
    split: str = "test"  # train | validation | test
    tracking: Tracking = field(default_factory=Tracking)
    trusted_packages: list[str] = field(default_factory=list)  # the run's layers may be in these


@dataclass
class Reproduce:
    """The whole config of ``pipeline.reproduce``."""

    run: str = MISSING  # run id, an unambiguous beginning of one, or "latest"
    check: bool = False  # exit with 1 unless bit-identical
    at_commit: bool = False  # in a worktree of the recorded commit, with the recorded patch
    anyway: bool = False  # also on data that is not the recorded data
    tolerance: float = 1e-3  # relative difference up to which values count as equal
    tracking: Tracking = field(default_factory=Tracking)
    trusted_packages: list[str] = field(default_factory=list)  # the run's layers may be in these


@dataclass
class Export:
    """The whole config of ``pipeline.export``."""

    run: str = MISSING  # run id, an unambiguous beginning of one, "latest", or the id of a sweep
    to: str | None = None  # new folder for the SavedModel; null: below tracking.root
    name: str | None = None  # in the registry; null: the name of the run's experiment
    alias: str | None = None  # given to this model if it beats the one that holds it
    anyway: bool = False  # also where the two cannot be compared: other data, other metric
    tracking: Tracking = field(default_factory=Tracking)


@dataclass
class Prepare:
    """The whole config of ``pipeline.prepare``."""

    dataset: Dataset = field(default_factory=Dataset)
    trusted_packages: list[str] = field(default_factory=list)  # dataset.module may be in these


@dataclass
class DataVerb:
    """The whole config of ``pipeline.data``."""

    dataset: Dataset = field(default_factory=Dataset)
    task: Any = None  # _target_; null: the one that the target suits
    objective: Objective = field(default_factory=Objective)  # of the task's file; not used here
    split: str = "train"  # train | validation | test: of the statistics and the picture
    examples: int = 8  # in the picture
    to: str = "mlruns/data"  # folder of the picture
    seed: int = 0  # of the augmentation
    trusted_packages: list[str] = field(default_factory=list)  # a _target_ may name these too


@dataclass
class Doctor:
    """The whole config of ``pipeline.doctor``; ``--apply`` is a flag, not a key."""

    tracking: Tracking = field(default_factory=Tracking)


@dataclass
class Compare:
    """The whole config of ``pipeline.compare``; the rest is words and flags, not keys."""

    tracking: Tracking = field(default_factory=Tracking)


@dataclass
class Report:
    """The whole config of ``pipeline.report``."""

    study: str = MISSING  # a folder of ``folder`` that has a study.yaml
    folder: str = "experiments"  # where studies are
    check: bool = False  # look whether what is published is what the runs say; write nothing
    tracking: Tracking = field(default_factory=Tracking)


@dataclass
class Ui:
    """The whole config of ``pipeline.ui``."""

    tracking: Tracking = field(default_factory=Tracking)
    host: str = "127.0.0.1"
    port: int = 5000


@cache
def register() -> None:
    """Make the schemas of all verbs and groups known to Hydra, before anything is composed."""
    store = ConfigStore.instance()
    for name, verb in (
        ("train", Train),
        ("evaluate", Evaluate),
        ("reproduce", Reproduce),
        ("export", Export),
        ("prepare", Prepare),
        ("data", DataVerb),
        ("doctor", Doctor),
        ("compare", Compare),
        ("report", Report),
        ("ui", Ui),
    ):
        store.store(name=f"{name}_schema", node=verb)
    for group, node in (
        ("dataset", Dataset),
        ("trainer", Trainer),
        ("strategy", Strategy),
        ("tracking", Tracking),
        ("sweep", Sweep),
    ):
        store.store(group=group, name="schema", node=node)
