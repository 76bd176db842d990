"""A split is evaluated in few batches of one shape, of which little is computed for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data_parts import evaluation_batch


@given(st.integers(1, 5000), st.integers(1, 600), st.integers(1, 8))
def test_batches_are_as_few_as_allowed_and_lack_less_than_one_example_a_batch_and_replica(
    size: int, most: int, replicas: int
) -> None:
    batch = evaluation_batch(size, most, replicas)
    batches = -(-size // batch)
    assert batch % replicas == 0
    assert batch < most + replicas
    assert batches <= -(-size // most)
    fewest = -(-size // most)
    assert batch * fewest - size < fewest * replicas


@pytest.mark.parametrize(
    ("size", "most", "replicas", "batch"),
    [(800, 512, 1, 400), (513, 512, 2, 258), (360, 512, 1, 360), (1, 512, 4, 4), (9, 4, 2, 4)],
)
def test_batch(size: int, most: int, replicas: int, batch: int) -> None:
    assert evaluation_batch(size, most, replicas) == batch
