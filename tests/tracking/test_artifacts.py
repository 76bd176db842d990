"""Texts of a run that a killed process had no time to send."""

from __future__ import annotations

import pytest

from pipeline import tracking
from pipeline.config import Tracking
from pipeline.errors import StoreError
from pipeline.tracking.artifacts import recorded_text
from pipeline.tracking.delivery import Delivery


def test_text_that_waits_in_the_journal_is_found(
    config: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Delivery, "start", lambda self: None)  # killed before it could send
    tracker = tracking.start(config)
    tracker.text("seed: 3", "config.yaml")
    tracker.text("other", "notes/config.yaml")
    store = tracking.open_store(config)
    with pytest.raises(StoreError, match=r"has no artifact 'config\.yaml'"):
        store.text(tracker.run_id, "config.yaml")
    assert recorded_text(store, tracker.run_id, "config.yaml") == "seed: 3"
    assert recorded_text(store, tracker.run_id, "notes/config.yaml") == "other"
    with pytest.raises(StoreError, match=r"has no artifact 'confg\.yaml'"):
        recorded_text(store, tracker.run_id, "confg.yaml")
    tracker._delivery.drain()
    assert recorded_text(store, tracker.run_id, "config.yaml") == "seed: 3"
