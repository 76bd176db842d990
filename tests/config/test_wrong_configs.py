"""Wrong configs, each with the answer it gets. In one process and without TensorFlow."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from pipeline import preflight
from pipeline.composing import compose
from pipeline.errors import ConfigError

# Overrides that cannot be composed -> what is said.
OVERRIDES: list[tuple[str, str]] = [
    ("trainer.bach_size=3", "trainer.bach_size: there is no such key. Did you mean 'trainer.batch"),
    ("batch_size=3", "batch_size: there is no such key. Did you mean 'trainer.batch_size'?"),
    ("sede=3", "sede: there is no such key. Did you mean 'seed'"),
    ("optimizer.lerning_rate=1", "Did you mean 'optimizer.learning_rate'?"),
    ("model.layers.hiden.units=3", "Did you mean 'model.layers.hidden.units'?"),
    ("trainer.early_stopping.patence=3", "Did you mean 'trainer.early_stopping.patience'?"),
    (
        "model.layers.hidden.use_bias=false",
        "model.layers.hidden.use_bias: not in the config, but Dense takes it; add it with a plus: "
        "+model.layers.hidden.use_bias=…",
    ),
    (
        "dataset.mix.more.name=mnist",
        "dataset.mix.more.name: not in the config yet; add it with a plus: "
        "+dataset.mix.more.name=…",
    ),
    ("hydra.foo=1", "hydra.foo: Hydra has no such setting"),
    (
        "trainer.batch_size=abc",
        "trainer.batch_size: 'abc' is given; a whole number is expected, such as 64",
    ),
    ("trainer.batch_size=", "trainer.batch_size: '' is given; a whole number is expected"),
    ("trainer.batch_size=null", "trainer.batch_size: null is given, but it needs a value"),
    ("seed=1.5", "seed: '1.5' is given; a whole number is expected, such as 0"),
    ("seed=true", "seed: 'true' is given; a whole number is expected"),
    ("trainer.clip_norm=big", "trainer.clip_norm: 'big' is given; a number is expected"),
    ("trainer.deterministic=maybe", "'maybe' is given; true or false is expected, such as true"),
    ("dataset.splits.train=[1,2]", "dataset.splits.train: '[1,2]' is given; text is expected"),
    ("trainer.early_stopping=3", "trainer.early_stopping: '3' is given; a mapping of keys"),
    ("dataset.preprocess=3", "dataset.preprocess: '3' is given; a mapping of keys"),
    ("trusted_packages=os", "trusted_packages: 'os' is given; a list, such as [a, b] is expected"),
    ("dataset=minst", "dataset=minst: there is no dataset 'minst'. Did you mean 'mnist' or"),
    ("optimizer=lion", "there is no optimizer 'lion'. Valid: adam, adamw, momentum, rmsprop, sgd."),
    (
        "+experiment=digts",
        "+experiment=digts: there is no experiment 'digts'. Did you mean 'digits",
    ),
    ("datset=mnist", "datset: there is no such key. Did you mean 'dataset'?"),
    ("experiment=digits", "it is added with a plus: +experiment=digits"),
    ("+dataset=mnist", "'dataset' is chosen already; leave the plus out: dataset=…"),
    ("+experiment=digits +experiment=digits_cnn", "choose one experiment"),
    ("+trainer.batch_size=3", "+trainer.batch_size=…: it is there already; leave the plus out"),
    ("trainer=5", "trainer=5: '5' is not an option of trainer. Valid: default."),
    (
        "model=null",
        "model=null: 'null' is not an option of model. Valid: autoencoder, cnn, cnn_deep, ",
    ),
    ("foo", "'foo' is not an override; write key=value, such as seed=1"),
    ("=3", "'=3' has no key; write key=value"),
    ("seed=a=b", "'seed=a=b' cannot be read"),
    ("seed={b", "'seed={b' cannot be read"),
    ("seed=1,2", "seed=1,2: several values; add -m before the overrides to run each of them"),
    ("seed=range(3)", "seed=range(3): several values; add -m before the overrides"),
    ("~optimizer.foo", "~optimizer.foo: there is nothing to remove."),
    ("seed='${sede'", "seed: an interpolation cannot be read"),
    ("hydra/launcher=jobib", "there is no hydra/launcher 'jobib'"),
]

# Keys that are set after composing -> what preflight says.
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, "foo: there is no such key. Valid: dataset, "),
    ({"expriment": "digits"}, "expriment: there is no such key. Did you mean 'experiment'?"),
    ({"trainer.lerning_rate": 1}, "trainer.lerning_rate: there is no such key."),
    ({"seed": -1}, "seed: -1 is out of range; a number in [0, 2147483647] is expected"),
    ({"trainer.batch_size": 0}, "trainer.batch_size: 0 is out of range; a number at least 1"),
    ({"trainer.evaluation_batch_size": 0}, "trainer.evaluation_batch_size: 0 is out of range"),
    ({"trainer.steps_per_call": 0}, "trainer.steps_per_call: 0 is out of range"),
    ({"trainer.accumulate": 0}, "trainer.accumulate: 0 is out of range"),
    ({"trainer.clip_norm": 0.0}, "trainer.clip_norm: 0.0 is out of range; a number above 0 is"),
    ({"trainer.average": 1.0}, "trainer.average: 1.0 is out of range; a number in (0, 1)"),
    ({"trainer.stop_within": float("inf")}, "trainer.stop_within: inf is not a finite number"),
    ({"trainer.early_stopping.min_delta": -1.0}, "trainer.early_stopping.min_delta: -1.0 is out"),
    ({"strategy.replicas": 0}, "strategy.replicas: 0 is out of range; a number at least 1"),
    ({"sweep.prune_factor": 1}, "sweep.prune_factor: 1 is out of range; a number at least 2"),
    ({"sweep.prune_from": "10"}, "sweep.prune_from: '10' has no unit"),
    ({"sweep.sampler": "tpee"}, "sweep.sampler: 'tpee' is none of tpe, random, cmaes, grid. Did"),
    ({"sweep.objectives": {"test/loss": "less"}}, "sweep.objectives.test/loss: 'less' is neither"),
    ({"trainer.compile": "atuo"}, "'atuo' is none of auto, loop, gradients, off. Did you mean 'a"),
    ({"trainer.precision": "float16"}, "'float16' is none of float32, bfloat16. Did you mean"),
    ({"objective.mode": "maximum"}, "'maximum' is none of max, min. Did you mean 'max'?"),
    ({"tracking.kind": "False"}, "tracking.kind: 'False' is none of mlflow, off. In YAML write"),
    ({"objective.metric": "accuracy"}, "write 'val/accuracy' or 'train/accuracy'"),
    ({"objective.metric": "test/accuracy"}, "is of the test split, which must not choose"),
    (
        {"objective.metric": "val/acuracy"},
        "the task does not measure 'val/acuracy'. Did you mean 'val/accuracy'?",
    ),
    ({"objective.metric": "val/gradient_norm"}, "Valid: val/accuracy, val/loss."),
    (
        {"trainer.batch_size": 50, "strategy.replicas": 4},
        "trainer.batch_size=50 is not divisible by strategy.replicas=4; use 48 or 52",
    ),
    ({"trainer.batch_size": 50, "trainer.accumulate": 4}, "by trainer.accumulate=4; use 48 or 52"),
    (
        {"trainer.batch_size": 2, "strategy.replicas": 2, "trainer.accumulate": 3},
        "is not divisible by strategy.replicas=2 x trainer.accumulate=3; use 6",
    ),
    ({"trainer.duration": "30"}, "trainer.duration: '30' has no unit; write '30 epochs' or '30 st"),
    ({"trainer.duration": "-1 epochs"}, "trainer.duration: '-1 epochs' is not positive"),
    ({"trainer.duration": "10 percent"}, "trainer.duration: '10 percent' is a percent of the"),
    ({"trainer.evaluate_every": "1 epochh"}, "trainer.evaluate_every: '1 epochh' has an unknown"),
    ({"trainer.checkpoint_every": "0 steps"}, "trainer.checkpoint_every: '0 steps' is not pos"),
    ({"trainer.log_every": "never"}, "trainer.log_every: 'never' is not a length"),
    ({"trainer.early_stopping.patience": "5"}, "trainer.early_stopping.patience: '5' has no unit"),
    ({"resume": "lates"}, "resume: 'lates' is neither a run id"),
    ({"tracking.uri": "mlruns"}, "MLflow's file store is in maintenance mode"),
    ({"tracking.uri": "file:///tmp/x"}, "MLflow's file store is in maintenance mode"),
    (
        {"tracking.uri": "htp://host"},
        "tracking.uri: 'htp://host' has an unknown scheme. Did you me",
    ),
    ({"tracking.uri": "sqlite://x.db"}, "write sqlite:///x.db (three slashes)"),
    ({"tracking.uri": "http://"}, "tracking.uri: 'http://' has no host"),
    ({"tracking.root": ""}, "tracking.root: an empty name"),
    ({"dataset.name": " "}, "dataset.name: an empty name; give one, such as dataset.name=mnist"),
    ({"dataset.splits.train": "train[:90"}, "dataset.splits.train: 'train[:90' is not a split"),
    (
        {"dataset.mix": {"more": 3}},
        "dataset.mix.more: 3 is given; keys and values are expected, such as "
        "+dataset.mix.more.name=emnist/digits +dataset.mix.more.share=0.25",
    ),
    (
        {"dataset.mix": {"a b": {"name": "x", "share": 0.5}}},
        "dataset.mix.a b: 'a b' is no name for a set; letters, digits, _ and - make one",
    ),
    (
        {"dataset.mix": {"more": {"share": 0.5}}},
        "dataset.mix.more.name: nothing is given and there is no default; add +dataset.mix.more.na",
    ),
    (
        {"dataset.mix": {"more": {"name": "x"}}},
        "dataset.mix.more.share: nothing is given and there is no default; add +dataset.mix.more.s",
    ),
    (
        {"dataset.mix": {"more": {"name": "x", "share": 0.5, "splt": "test"}}},
        "dataset.mix.more.splt: there is no such key. Did you mean 'dataset.mix.more.split'?",
    ),
    (
        {"dataset.mix": {"more": {"name": "x", "share": 1}}},
        "dataset.mix.more.share: 1 is out of range; a number in (0, 1) is expected, the share of t",
    ),
    ({"dataset.mix": {"more": {"name": "x", "share": 0.0}}}, "more.share: 0.0 is out of range"),
    (
        {"dataset.mix": {"more": {"name": "x", "share": "half"}}},
        "dataset.mix.more.share: 'half' is given; a number is expected, such as 0.25",
    ),
    (
        {"dataset.mix": {"a": {"name": "x", "share": 0.5}, "b": {"name": "y", "share": 0.75}}},
        "dataset.mix: the shares of a, b are 1.25 together; less than 1 is expected, since what is "
        "left is the share of the dataset itself",
    ),
    (
        {"dataset.mix": {"more": {"name": "x", "share": 0.5, "split": "train["}}},
        "dataset.mix.more.split: 'train[' is not a split",
    ),
    (
        {"dataset.mix": {"more": {"name": 3, "share": 0.5}}},
        "dataset.mix.more.name: 3 is given; text is expected",
    ),
    (
        {"dataset.mix": {"more": {"name": " ", "share": 0.5}}},
        "dataset.mix.more.name: an empty text; leave the key out, or give one",
    ),
    (
        {"dataset.mix": {"more": {"name": "x", "share": 0.5, "options": 3}}},
        "dataset.mix.more.options: 3 is given; the builder's arguments by name are expected",
    ),
    (
        {"dataset.mix": {"more": {"name": "x", "share": 0.5, "module": "antigravity"}}},
        "dataset.mix.more.module: 'antigravity' is not in a trusted package; importing it runs",
    ),
    (
        {"dataset.mix": {"more": {"name": "x", "share": 0.5}}, "dataset.order": "contiguous"},
        "dataset.mix: order=contiguous goes through one split as it is stored; write "
        "dataset.order=shuffled, or leave the mix out",
    ),
    ({"dataset.classes": 0}, "dataset.classes: 0 is out of range"),
    ({"dataset.module": "antigravity"}, "dataset.module: 'antigravity' is not in a trusted pack"),
    ({"dataset.preprocess.scale": None}, "dataset.preprocess.scale: null is given; a mapping with"),
    ({"model": {}}, "model: a mapping without _target_ names nothing; write model=mlp or model=c"),
    ({"model.layers": {}}, "model.layers: there are no layers; give at least one"),
    ({"model.layers": []}, "model.layers: there are no layers; give at least one"),
    ({"model.layers.hidden": 3}, "model.layers.hidden: 3 is given; a layer (a mapping with _targ"),
    (
        {"model.layers.hidden": {"_taget_": "layers.Dense"}},
        "model.layers.hidden: a mapping without _target_ is given; a layer",
    ),
    ({"optimizer": {"_taget_": "x"}}, "optimizer: a mapping without _target_ names nothing; did"),
    (
        {"model.layers.hidden._target_": "layers.Dens"},
        "model.layers.hidden._target_: layers has no 'Dens'. Did you mean 'Dense'",
    ),
    ({"model.layers.hidden._target_": "Dense"}, "'Dense' has no package. Did you mean 'layers.De"),
    ({"model.layers.hidden._target_": "layer.Dense"}, "no package 'layer'. Did you mean 'layers'?"),
    ({"model.layers.hidden._target_": "layers.dense"}, "layers.dense is a module; name something"),
    ({"model.layers.hidden._target_": None}, "None is not a dotted name"),
    ({"optimizer._target_": "pipeline.trainning.optimizers.Adam"}, "Did you mean 'training'"),
    ({"model.layers.hidden.unit": 3}, "model.layers.hidden.unit: Dense takes no 'unit'. Did you m"),
    ({"schedule.final": 0.5}, "schedule.final: Constant takes no 'final'."),
    (
        {"model.layers.hidden": {"_target_": "layers.Dense"}},
        "model.layers.hidden.units: Dense need",
    ),
    ({"model.layers.hidden.units": "many"}, "the text 'many' is given; a whole number is expected"),
    ({"model.layers.hidden.units": 1.5}, "units: 1.5 is given; a whole number is expected"),
    ({"model.layers.hidden.units": True}, "units: true is given; a whole number is expected"),
    ({"model.layers.hidden.units": 0}, "units: 0 is out of range; a number at least 1"),
    ({"model.layers.hidden.activation": "rellu"}, "no activation 'rellu'. Did you mean 'relu'"),
    ({"model.layers.hidden.activation": 3}, "3 is given; text or a function (a mapping with _tar"),
    ({"model.layers.hidden.kernel_initializer": "he"}, "there is no kernel initializer 'he'."),
    ({"model.layers.hidden.compute_dtype": "float8"}, "there is no compute dtype 'float8'. Did y"),
    ({"optimizer.learning_rate": "abc"}, "optimizer.learning_rate: the text 'abc' is given; a num"),
    ({"optimizer.learning_rate": -1}, "optimizer.learning_rate: -1 is out of range; a number abov"),
    ({"optimizer.learning_rate": float("nan")}, "optimizer.learning_rate: nan is not a finite"),
    ({"optimizer.beta_1": 1.0}, "optimizer.beta_1: 1.0 is out of range; a number in [0, 1)"),
    ({"task.label_smoothing": 1.0}, "task.label_smoothing: 1.0 is out of range"),
    ({"schedule.warmup": 5}, "schedule.warmup: 5 is given; text or null is expected"),
    ({"schedule.warmup": "5 epoches"}, "schedule.warmup: '5 epoches' has an unknown unit"),
    ({"seed": "${sede}"}, "seed: ${sede} leads to a key that is not there. Did you mean 'seed'"),
    (
        {"tracking.root": "${oc.env:NO_SUCH_VARIABLE}"},
        "tracking.root: ${oc.env:NO_SUCH_VARIABLE} c",
    ),
]

# What a config from a stranger may try to call.
HOSTILE = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "hydra.utils.instantiate",
    "layers.dense.tf.io.write_file",
    "pipeline.composing.os.system",
    "pipeline.composing.OmegaConf.load",
    "pipeline.preflight.RANGES.pop",
    "layers.Dense.__init__.__globals__",
    "pipeline.durations._FORM.sub",
    "pipeline.cli._check_command",
    "layers..os.system",
]

# Files in a folder of the user's -> what is said.
FILES: dict[str, tuple[str, str]] = {
    "key": ("trainer:\n  bach_size: 3\n", "key.yaml: trainer.bach_size: there is no such key. Did"),
    "type": ("trainer:\n  batch_size: many\n", "type.yaml: trainer.batch_size: 'many' is given;"),
    "top": ("sede: 3\n", "top.yaml: sede: there is no such key. Did you mean 'seed'"),
    "section": ("trainer: 5\n", "section.yaml: trainer: '5' is given; a mapping of keys to values"),
    "syntax": ("trainer: [1,\n", "syntax.yaml, line 3: not valid YAML: expected the node content"),
    "twice": ("seed: 1\nseed: 2\n", "twice.yaml, line 3: not valid YAML: found duplicate key seed"),
    "list": ("- a\n- b\n", "list.yaml: the file: 'a value' is given; a mapping of keys to values"),
    "option": (
        "defaults:\n  - override /dataset: minst\n",
        "option.yaml: dataset: there is no dataset 'minst'. Did you mean 'mnist' or",
    ),
    "group": (
        "defaults:\n  - override /datset: mnist\n",
        "group.yaml: datset: there is no group 'datset'. Did you mean 'dataset'?",
    ),
    "trust": ("trusted_packages: [os]\n", "trusted_packages: a config file gives trust to os"),
}


@pytest.fixture(scope="module")
def base() -> DictConfig:
    return compose("train")


@pytest.fixture
def changed(base: DictConfig) -> Callable[[dict[str, Any]], DictConfig]:
    def change(values: dict[str, Any]) -> DictConfig:
        cfg = copy.deepcopy(base)
        with open_dict(cfg):
            for key, value in values.items():
                OmegaConf.update(cfg, key, value, merge=False, force_add=True)
        return cfg

    return change


@pytest.mark.parametrize(("overrides", "message"), OVERRIDES, ids=[o for o, _ in OVERRIDES])
def test_wrong_override_is_answered(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose("train", overrides.split(" "))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("values", "message"), CHANGES, ids=[str(c) for c, _ in CHANGES])
def test_wrong_value_is_answered(changed: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        preflight.check(changed(values))
    assert message in str(refused.value)


@pytest.mark.parametrize("target", HOSTILE)
def test_untrusted_target_is_refused(changed: Any, target: str) -> None:
    with pytest.raises(ConfigError, match=r"^model\.layers\.hidden\._target_: "):
        preflight.check(changed({"model.layers.hidden": {"_target_": target}}))


def test_refusal_says_how_to_trust(changed: Any) -> None:
    values = {"model.layers.hidden": {"_target_": "json.JSONDecoder"}}
    with pytest.raises(ConfigError, match=r"add trusted_packages=\[json\] to the command line"):
        preflight.check(changed(values))
    preflight.check(changed({**values, "trusted_packages": ["json"]}))


def test_trust_does_not_reach_names_that_only_begin_alike(changed: Any) -> None:
    values = {"model.layers.hidden": {"_target_": "jsonx.Thing"}, "trusted_packages": ["json"]}
    with pytest.raises(ConfigError, match=r"'jsonx\.Thing' is not in a trusted package"):
        preflight.check(changed(values))


@pytest.mark.parametrize("name", FILES)
def test_wrong_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "experiment").mkdir()
    text, message = FILES[name]
    (tmp_path / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
    with pytest.raises(ConfigError) as refused:
        compose("train", [f"+experiment={name}"], config_dir=str(tmp_path))
    assert message in str(refused.value)


def test_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"not UTF-8 text .*\+experiment=binary"):
        compose("train", ["+experiment=binary"], config_dir=str(tmp_path))


def test_missing_config_folder_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--config-dir: there is no folder .*nowhere"):
        compose("train", config_dir="nowhere")


def test_values_without_a_default_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it, in another test
    with pytest.raises(
        ConfigError, match=r"dataset\.name: nothing is given .* add dataset\.name=…"
    ):
        preflight.check(compose("train", ["dataset=tfds"]))
    with pytest.raises(ConfigError, match=r"tracking\.uri: .* add tracking\.uri=http"):
        preflight.check(compose("train", ["tracking=server"]))


def test_removed_keys_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="seed: taken away, but training needs it"):
        preflight.check(compose("train", ["~seed"]))
    with pytest.raises(ConfigError, match=r"^~trainer\.duration: it cannot be taken away"):
        compose("train", ["~trainer.duration"])
    with pytest.raises(ConfigError, match=r"model: nothing is given .* model=mlp or model=cnn"):
        preflight.check(compose("train", ["~model"]))


def test_all_problems_are_reported_at_once(changed: Any) -> None:
    values = {"trainer.average": 2.0, "foo": 1, "model.layers.hidden.unit": 3}
    with pytest.raises(ConfigError) as refused:
        preflight.check(changed(values))
    lines = str(refused.value).split("\n")
    assert lines[0] == "3 problems in the config:"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "  foo",
        "  trainer.average",
        "  model.layers.hidden.unit",
    ]


def test_callbacks_of_a_stranger_are_refused() -> None:
    callbacks = OmegaConf.create({"x": {"_target_": "os.system", "command": "true"}})
    with pytest.raises(ConfigError, match=r"^hydra\.callbacks\.x\._target_: 'os\.system' is not"):
        preflight.check_callbacks(callbacks, [])
