"""A task beside the main thread: one at a time, and its error is not lost."""

from __future__ import annotations

import sys
import threading

import pytest

from pipeline.background import Background


def test_a_task_runs_beside_and_the_next_waits_for_it() -> None:
    background, go, done = Background("tests"), threading.Event(), []

    def first() -> None:
        go.wait(10)
        done.append("first")

    background.start(first)
    assert done == []  # and start has returned
    threading.Timer(0.05, go.set).start()
    background.start(lambda: done.append("second"))
    background.wait()
    assert done == ["first", "second"]


def test_what_a_task_raises_is_raised_once_by_who_waits() -> None:
    background = Background("tests")

    def fail() -> None:
        raise KeyError("lost")

    background.start(fail)
    with pytest.raises(KeyError, match="lost"):
        background.wait()
    background.wait()


@pytest.mark.parametrize("often", [False, True])
def test_threads_take_turns_more_often_while_a_task_that_asks_for_it_runs(often: bool) -> None:
    usual, seen = sys.getswitchinterval(), []
    background = Background("tests", often)
    background.start(lambda: seen.append(sys.getswitchinterval()))
    background.wait()
    assert (seen[0] < usual / 10) is often
    assert sys.getswitchinterval() == usual
