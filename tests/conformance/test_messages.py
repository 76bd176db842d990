"""What layers say about wrong arguments and wrong inputs, word for word."""

from __future__ import annotations

import pytest
from declared import WRONG
from declared.kinds import Wrong

import layers


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_message(wrong: Wrong) -> None:
    def meet() -> None:
        made = wrong.make()
        if wrong.spec is not None:
            layers.build(layers.Stack({"at": made}), wrong.spec)

    with pytest.raises(layers.LayerError) as error:
        meet()
    assert str(error.value) == wrong.message
