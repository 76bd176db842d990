"""Whole networks."""

from __future__ import annotations

import layers
from declared.kinds import FOUR, IMAGE, Wrong
from layers import nets
from layers.testing import Case

CASES = [
    Case(
        nets.ResNet,
        {"blocks": [1, 1], "filters": 2, "stem": "small"},
        IMAGE,
        variables=5 + 10 + 15,
        state=True,
    ),
]

WRONG = [
    Wrong(
        lambda: nets.ResNet(blocks=2),
        "ResNet: blocks must be a list, the number of blocks in each stage; got 2",
    ),
    Wrong(
        lambda: nets.ResNet(blocks=[2, 0]),
        "ResNet: blocks must be a whole number, at least 1; got 0",
    ),
    Wrong(
        lambda: nets.ResNet(blocks=[2], stem="smal"),
        "ResNet: stem must be 'large' or 'small'; got 'smal'. Did you mean 'small'?",
    ),
    Wrong(
        lambda: layers.Stack({"a": nets.ResNet([1])}),
        "at/a/stem/conv (Conv2D): expects [batch, height, width, channels] (rank 4), got [None, 4] "
        "float32",
        FOUR,
    ),
]
