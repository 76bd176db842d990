"""The checkpoints of a run as it saves them: which stay, on disk and in MLflow."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # a store


def test_disk_keeps_the_last_the_one_before_and_the_best_of_both(process) -> None:
    from pipeline.training.progress import Progress

    one = process()
    one.checkpoints.begin(Progress())
    one.save(5, 7)
    assert set(one.on_disk) == {5, 7}
    one.save(10, best=10)
    one.save(20, 30, best=10)
    one.save(40, best=40)
    assert set(one.on_disk) == {10, 30, 40}
    one.save(50, best=40)
    assert set(one.on_disk) == {40, 50}
    one.settle()
    assert {s: roles for s, (_, roles) in one.published.items()} == {40: {"best"}, 50: {"last"}}


def test_training_goes_on_while_a_checkpoint_is_written(
    process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state that is saved is that of the save, whatever training does until it is written."""
    from pipeline.training.checkpoints import Checkpoints

    one = process()
    save, go = Checkpoints.save, threading.Event()

    def slow(self: Checkpoints, *arguments: Any) -> Path:
        assert go.wait(20)
        return save(self, *arguments)

    monkeypatch.setattr(Checkpoints, "save", slow)
    one.run.train(4)
    one.checkpoints.save(4, {}, {}, best=False, due=False)
    one.run.train(9)
    assert one.on_disk == {}
    go.set()
    one.checkpoints.wait()
    assert list(one.on_disk) == [4]
    one.checkpoints.restore()
    assert (one.run.current_step, one.run.w.numpy()) == (4, 2.0)


def test_checkpoints_that_follow_fast_are_left_out_and_the_best_is_held(process) -> None:
    one = process(seconds=1000.0)
    one.save(10, best=10)
    one.save(20, best=20)
    one.save(30, best=20)
    assert one.on_disk == {}
    one.save(40, best=20, due=True)
    assert set(one.on_disk) == {20, 40}
    one.settle()
    assert {s: roles for s, (_, roles) in one.published.items()} == {20: {"best"}, 40: {"last"}}
    one.checkpoints.on_disk.restore(one.on_disk[20])
    assert (one.run.current_step, one.run.w.numpy()) == (20, pytest.approx(20**0.5))


@pytest.mark.parametrize(("wait", "expected"), [(True, [10]), (False, [])])
def test_held_best_is_saved_where_the_run_fails_and_not_where_it_must_end_at_once(
    process, wait: bool, expected: list[int]
) -> None:
    one = process(seconds=1000.0)
    one.save(10, best=10)
    one.save(20, best=10)
    one.checkpoints.close(wait)
    assert list(one.on_disk) == expected


def test_a_run_that_was_given_up_publishes_no_more(process) -> None:
    one = process()
    one.save(4)
    one.checkpoints.close(wait=True)
    one.save(9)
    one.settle()
    assert list(one.published) == [4]


def test_failing_disk_is_told_once_and_at_the_end(
    process, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    one = process()
    one.save(10, best=10)
    write = tf.train.Checkpoint.write

    def fill(self: Any, path: str, **options: Any) -> str:
        write(self, path, **options)
        raise tf.errors.ResourceExhaustedError(
            None, None, f"{path}.tempstate1; No space left on device [Op:SaveV2]"
        )

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.Checkpoint, "write", fill)
        one.save(20, 30, best=10)
    folder = one.checkpoints.on_disk.folder
    assert capsys.readouterr().err == (
        "warning: checkpoint step-00000020: cannot be written: No space left on device "
        f"({folder}). Training goes on; the last checkpoint is of step 10.\n"
    )
    assert [path.name for path in folder.iterdir()] == ["step-00000010"]
    one.checkpoints.tell_unsaved()
    assert capsys.readouterr().err == (
        "warning: the state that training ended with is NOT saved: checkpoint step-00000030: cannot"
        f" be written: No space left on device ({folder}); the last checkpoint is of step 10.\n"
    )
    one.save(40, best=10)
    one.checkpoints.tell_unsaved()
    assert capsys.readouterr().err == ""
    assert set(one.on_disk) == {10, 40}
