"""Every config that is shipped can be composed and passes; what is chosen where wins over what."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from pipeline import config, preflight
from pipeline.composing import Composer, compose, conf_dir, without_hydra
from pipeline.errors import ConfigError

# What an option needs beside it.
NEEDS = {
    "dataset=tfds": ["dataset.name=kmnist"],
    "tracking=server": ["tracking.uri=http://127.0.0.1:5000"],
}


def rows() -> list[list[str]]:
    """Choices in which every option of every group occurs: the first of each, the second, ..."""
    groups = Composer("train").groups()
    chosen = {
        "model",
        "task",
        "dataset",
        "optimizer",
        "schedule",
        "trainer",
        "strategy",
        "tracking",
    }
    assert chosen <= groups.keys()
    longest = max(len(groups[group]) for group in chosen)
    table = [[f"{g}={groups[g][at % len(groups[g])]}" for g in chosen] for at in range(longest)]
    added = [[f"+{g}={option}"] for g in groups if g not in chosen for option in groups[g]]
    return [[*row, *(need for o in row for need in NEEDS.get(o, []))] for row in [*table, *added]]


@pytest.mark.parametrize("overrides", rows(), ids=lambda row: " ".join(sorted(row)))
def test_every_option_passes(overrides: list[str]) -> None:
    cfg = Composer("train").load(overrides, sweep=True)  # an option may itself be a sweep
    preflight.check(without_hydra(cfg))


def test_the_command_line_wins_over_the_experiment() -> None:
    cfg = compose("train", ["+experiment=digits_cnn", "dataset=mnist", "trainer.batch_size=96"])
    assert (cfg.dataset.name, cfg.trainer.batch_size) == ("mnist", 96)
    assert "conv1" in cfg.model.layers  # the rest is the experiment's
    preflight.check(cfg)


def test_an_experiment_is_named_by_its_dataset() -> None:
    assert compose("train", ["+experiment=digits", "dataset=mnist"]).tracking.experiment == "mnist"


def test_the_quick_look_keeps_nothing() -> None:
    cfg = compose("train", ["+experiment=digits", "+debug=quick"])
    assert (cfg.tracking.kind, cfg.trainer.duration) == ("off", "2 epochs")


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer.learning_rate=1"],
        ["trainer.clip_norm=1", "trainer.average=0.999"],
        ["trainer.evaluate_every='10 percent'", "schedule=cosine", "schedule.warmup='1 epoch'"],
        ["trainer.batch_size=50", "strategy.replicas=2", "trainer.evaluation_batch_size=7"],
        ["resume=latest"],
        ["resume=0123456789abcdef0123456789abcdef"],
        ["tracking.uri=sqlite:////tmp/a.db"],
        ["tracking.uri=postgresql+psycopg2://host/db"],
        ["+tracking.tags.who=me", "dataset.classes=null"],
        ["dataset.splits.train='train[:50%]+test[10:20]'"],
        ["+model.layers.hidden.use_bias=false", "+model.layers.hidden.name=first"],
        ["+model.layers.extra={_target_:layers.Dense,units:3,compute_dtype:bfloat16}"],
        ["model=cnn", "model.layers.conv1.kernel_size=[3,5]"],
        ["~dataset.preprocess.scale"],
        ["+dataset.mix.more.name=emnist/digits", "+dataset.mix.more.share=0.25"],
        ["+dataset.mix={a:{name:mnist,share:0.5,data_dir:/tmp},b:{name:kmnist,share:0.4}}"],
        ["objective.metric=train/loss", "objective.mode=min"],
        ["objective.metric=train/gradient_norm"],
        ["objective.metric=train/block1/loss", "model=local"],
        ["+schedule._convert_=all"],
        ["trainer.early_stopping.patience='3 epochs'"],
    ],
    ids=" ".join,
)
def test_right_overrides_pass(overrides: list[str]) -> None:
    preflight.check(compose("train", overrides))


def test_yaml_and_schema_have_the_same_defaults() -> None:
    cfg = compose("train")
    for group, schema in (("trainer", config.Trainer), ("strategy", config.Strategy)):
        assert cfg[group] == OmegaConf.structured(schema)
    assert cfg.objective == OmegaConf.structured(config.Objective)


def test_composing_leaves_no_trace_in_hydra() -> None:
    before = GlobalHydra.instance().is_initialized()
    assert compose("train", ["seed=3"]).seed == 3
    assert compose("train").seed == 0
    assert GlobalHydra.instance().is_initialized() is before


def test_two_runs_in_one_second_have_folders_of_their_own() -> None:
    first, second = (Composer("train").load([]) for _ in range(2))
    assert first.hydra.run.dir != second.hydra.run.dir
    assert first.hydra.run.dir == first.hydra.run.dir
    # The last six characters are the random ones; the time alone would be shared.
    assert first.hydra.run.dir[-6:] != second.hydra.run.dir[-6:]
    assert first.hydra.run.dir.startswith("mlruns/hydra/")


def test_configs_of_the_user_are_found(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(
        "_target_: layers.Stack\nlayers:\n  only: {_target_: layers.Flatten}\n"
    )
    cfg = compose("train", ["model=mine"], config_dir=str(tmp_path))
    assert list(cfg.model.layers) == ["only"]
    cfg = compose("train", [f"hydra.searchpath=['file://{tmp_path}']", "model=mine"])
    assert list(cfg.model.layers) == ["only"]


def test_trust_is_given_on_the_command_line() -> None:
    overrides = ["~task", "+task._target_=json.JSONDecoder"]
    with pytest.raises(ConfigError, match="not in a trusted package"):
        preflight.check(compose("train", overrides))
    preflight.check(compose("train", [*overrides, "trusted_packages=[json]"]))


def test_trials_show_each_value_once_and_no_more_than_asked() -> None:
    composer = Composer("train")
    trials = list(composer.trials(["seed=0,1,2", "model=mlp,cnn", "trainer.average=0.9"], most=9))
    assert trials == [
        ["seed=0", "model=mlp", "trainer.average=0.9"],
        ["seed=1", "model=mlp", "trainer.average=0.9"],
        ["seed=2", "model=mlp", "trainer.average=0.9"],
        ["seed=0", "model=cnn", "trainer.average=0.9"],
    ]
    assert len(list(composer.trials(["seed=range(100)"], most=9))) == 9
    assert list(composer.trials(["trainer.average=interval(0.5,0.9)"], most=9)) == [
        ["trainer.average=0.5"],
        ["trainer.average=0.9"],
    ]


def test_the_config_folder_is_found() -> None:
    assert (conf_dir() / "experiment" / "digits.yaml").is_file()


def test_without_tracking_hydra_writes_nothing_either() -> None:
    hydra = Composer("train").load(["+experiment=digits", "tracking=off"]).hydra
    assert (hydra.run.dir, hydra.output_subdir) == (".", None)
