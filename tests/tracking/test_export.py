"""Which run is exported, where to, and what is said of runs that have no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig
from serving import Server

from pipeline import export as verb
from pipeline import tracking
from pipeline.composing import compose
from pipeline.config import Tracking
from pipeline.errors import ConfigError, StoreError
from pipeline.export import export
from pipeline.tracking import sweeps
from pipeline.tracking.models import Models
from pipeline.tracking.tracker import Tracker

pytestmark = pytest.mark.slow  # each writes a model

PARAMS = {"objective.metric": "val/accuracy", "objective.mode": "max"}
Made = Callable[..., str]


@pytest.fixture
def made(begin: Callable[..., Tracker], tmp_path: Path) -> Made:
    """``made(test=0.9, best=0.8, status=…, tags=…, model=True)``: a run as training leaves it."""

    def make(
        test: float | None = 0.9,
        best: float = 0.8,
        status: str = "FINISHED",
        model: bool = True,
        params: dict[str, str] = PARAMS,
        **tags: str,
    ) -> str:
        tracker = begin(params=params)
        tracker.tags({"dataset.digest": "d" * 64, "digest/config": tracker.run_id} | tags)
        tracker.log({"best/val/accuracy": best}, 1)
        tracker.log({"test/accuracy": test} if test is not None else {}, 2)
        if model:
            tracker.text(f"# card of {tracker.run_id}\n", "model_card.md")
        assert tracker.finish(status) == 0
        if model:
            publish(tracker, tmp_path / tracker.run_id)
        return tracker.run_id

    return make


def publish(tracker: Tracker, folder: Path) -> None:
    """A model as training exports it, but for what is in the files."""
    (folder / "tf2model" / "variables").mkdir(parents=True)
    (folder / "tf2model" / "saved_model.pb").write_text("graph")
    (folder / "tf2model" / "variables" / "v").write_text(tracker.run_id)
    (folder / "serving_input_example.json").write_text('{"inputs": [[1]]}')
    Models(tracker.store, tracker.run_id).publish_model(folder, "model", 2, [])


@pytest.fixture
def asked(config: Tracking) -> Callable[..., DictConfig]:
    """``asked("run=…")``: the verb's config, for the test's store."""
    return lambda *words: compose("export", [*words, f"tracking.root={config.root}"])


def test_a_saved_model_with_example_and_card_is_written(made: Made, asked, tmp_path: Path) -> None:
    run_id = made()
    found = export(asked(f"run={run_id}", f"to={tmp_path}/served/1"))
    assert found.folder == tmp_path / "served" / "1"
    files = {p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*")}
    assert files == {"saved_model.pb", "variables", "variables/v", "example.json", "model_card.md"}
    assert (found.folder / "variables" / "v").read_text() == run_id
    assert json.loads((found.folder / "example.json").read_text()) == {"inputs": [[1]]}
    assert (found.folder / "model_card.md").read_text() == f"# card of {run_id}\n"
    assert [p.name for p in (tmp_path / "served").iterdir()] == ["1"]  # nothing half-made
    assert (found.name, found.registered.version) == ("default", "1")
    assert found.registered.verdict is None


def test_a_folder_that_is_there_is_left_alone(made: Made, asked, tmp_path: Path) -> None:
    run_id = made()
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="is there already. Give a new folder"):
        export(asked(f"run={run_id}", f"to={tmp_path}/mine"))
    with pytest.raises(StoreError, match="cannot be written: (Not a directory|File exists)"):
        export(asked(f"run={run_id}", f"to={tmp_path}/mine/below"))
    assert (tmp_path / "mine").read_text() == "mine"


def test_without_a_folder_the_same_model_is_written_once(made: Made, asked, config) -> None:
    run_id = made()
    first = export(asked(f"run={run_id[:8]}"))
    (first.folder / "kept").write_text("")
    again = export(asked("run=latest"))
    assert again.folder == first.folder
    assert again.registered.version == first.registered.version
    assert (first.folder / "kept").exists()
    assert first.folder.parent == Path(config.root) / "exported"


def test_the_best_trial_of_a_sweep_is_taken(made: Made, asked, begin) -> None:
    parent = made(model=False, **{sweeps.SPACE_TAG: "{}"})
    nested = {sweeps.PARENT_TAG: parent}
    made(test=0.99, best=0.5, **nested, **{sweeps.TRIAL_TAG: "0"})
    chosen = made(test=0.90, best=0.7, **nested, **{sweeps.TRIAL_TAG: "1"})
    made(test=0.95, best=0.7, **nested, **{sweeps.TRIAL_TAG: "2"})  # a tie: the first
    made(model=False, best=0.9, **nested, **{sweeps.TRIAL_TAG: "3", sweeps.PRUNED_TAG: "at 9"})
    made(model=False, best=0.9, status="FAILED", **nested, **{sweeps.TRIAL_TAG: "4"})
    assert export(asked(f"run={parent}")).run_id == chosen


def test_the_least_is_the_best_where_the_objective_is_minimised(made: Made, asked) -> None:
    parent = made(
        model=False,
        params={**PARAMS, "objective.mode": "min"},
        **{sweeps.SPACE_TAG: "{}"},
    )
    nested = {sweeps.PARENT_TAG: parent}
    made(best=0.5, **nested, **{sweeps.TRIAL_TAG: "0"})
    chosen = made(best=0.3, **nested, **{sweeps.TRIAL_TAG: "1"})
    assert export(asked(f"run={parent}")).run_id == chosen


def test_a_sweep_without_a_finished_trial_is_told(made: Made, asked) -> None:
    parent = made(model=False, **{sweeps.SPACE_TAG: "{}"})
    made(model=False, status="KILLED", **{sweeps.PARENT_TAG: parent})
    with pytest.raises(StoreError, match=f"sweep.resume={parent}") as caught:
        export(asked(f"run={parent}"))
    assert "no trial to export: of 1 none has finished with best/val/accuracy" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"status": "KILLED", "model": False}, "is KILLED, not FINISHED: .* resume="),
        ({"status": "FAILED"}, "is FAILED, not FINISHED"),
        ({"model": False}, "has no exported model in sqlite:.*pipeline.doctor --apply"),
        ({"model": False, "sweep/pruned": "at step 9", "mlflow.parentRunId": "p1"}, "at step 9: "),
    ],
)
def test_runs_without_a_final_model_are_told(made: Made, asked, given, message: str) -> None:
    run_id = made(**given)
    with pytest.raises(StoreError, match=message) as caught:
        export(asked(f"run={run_id}"))
    assert run_id in str(caught.value)


def test_a_run_that_is_being_trained_is_told(begin: Callable[..., Tracker], asked) -> None:
    run_id = begin().run_id
    with pytest.raises(StoreError, match="is RUNNING: its model is exported when it has finished"):
        export(asked(f"run={run_id}"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "run: give the id of a run or of a sweep"),
        (["run=latest", "alias=v1"], "alias=v1: MLflow keeps latest, v1"),
        (["run=latest", "alias=the best"], "letters, digits, _ and -"),
        (["run=latest", "name=a/b"], "name=a/b: .* without / or :"),
        (["run=latest", "tracking=off"], "tracking=off keeps no runs"),
    ],
)
def test_wrong_words_are_told_before_anything_is_written(
    asked, config: Tracking, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        export(asked(*words))
    assert not (Path(config.root) / "exported").exists()


def test_the_command_prints_what_came_of_the_alias(
    made: Made, config: Tracking, capsys: pytest.CaptureFixture[str]
) -> None:
    best, worse = made(test=0.96), made(test=0.9477)
    root = f"tracking.root={config.root}"
    assert verb.main([f"run={best}", "--alias", "champion", "name=d", root]) == 0
    out = capsys.readouterr().out
    assert "@champion   given: test/accuracy 0.96; nobody held it" in out
    assert "-m models:/d@champion -i" in out
    assert out.splitlines()[-1] == f"run_id={best} model=d version=1 alias=champion"
    assert verb.main([f"run={worse}", "--alias=champion", "name=d", root]) == 1
    out = capsys.readouterr().out
    assert f"not given: test/accuracy 0.9477 does not beat version 1 (run {best})" in out
    assert "it is 0.0123 below 0.96" in out
    assert "-m models:/d/2 -i" in out
    assert out.splitlines()[-1] == f"run_id={worse} model=d version=2"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run=0012", "--alias", "best"], ["run='0012'", "alias='best'"]),
        (["--alias=best", "--anyway", "to=x/1"], ["alias='best'", "anyway=true", "to=x/1"]),
    ],
)
def test_flags_are_overrides(words: list[str], expected: list[str]) -> None:
    assert verb.overrides_of(words) == expected
    compose("export", expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--alias"], "--alias: give its name"),
        (["--alias", "--anyway"], "--alias: give its name"),
        (["--aliass", "x"], "--aliass: there is no such flag. Did you mean '--alias'?"),
    ],
)
def test_wrong_flags_are_told(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verb.overrides_of(words)
    assert str(caught.value).startswith(message)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_server_s_registry_does_as_the_local_one(
    config: Tracking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(config)
    server.start()
    away = Tracking(root=str(tmp_path / "here"), uri=server.uri, system_metrics=False)
    place = [f"tracking.root={away.root}", "tracking=server", f"tracking.uri={server.uri}"]
    try:
        runs = []
        for score in (0.9, 0.8):
            tracker = tracking.start(away, params=PARAMS, tags={"dataset.digest": "d" * 64})
            assert isinstance(tracker, Tracker)
            tracker.log({"test/accuracy": score}, 1)
            assert tracker.finish("FINISHED") == 0
            publish(tracker, tmp_path / tracker.run_id)
            runs.append(tracker.run_id)
        first, second = (
            verb.main([f"run={run}", f"to={tmp_path}/{run[:8]}", "--alias", "champion", *place])
            for run in runs
        )
        assert (first, second) == (0, 1)
        assert "it is 0.1 below 0.9" in capsys.readouterr().out
        assert (tmp_path / runs[1][:8] / "variables" / "v").read_text() == runs[1]
        client = tracking.open_store(away).client
        holder = client.get_model_version_by_alias("default", "champion")
        assert holder.run_id == runs[0]
        assert client.get_model_version_download_uri("default", "1").startswith("mlflow-artifacts:")
    finally:
        server.kill()
