"""freeze, regularizers and init_from of a model, checked before anything loads."""

from __future__ import annotations

import pytest

from pipeline import preflight
from pipeline.composing import compose
from pipeline.errors import ConfigError

RUN = "0123456789abcdef0123456789abcdef"
L2 = "{_target_: layers.regularizers.L2, strength: 1e-4}"
RIGHT = [
    ["+model.freeze=[hidden/*]"],
    ["+model.layers.hidden.freeze=[w]"],
    ["+model.regularizers={*/w: " + L2 + "}"],
    [f"+model.init_from.run={RUN}"],
    ["+model.init_from.run=latest", "+model.init_from.map={hidden/*: body/*}"],
    ["+model.init_from.run=latest", "+model.init_from.checkpoint=last"],
    ["model=vit", "+model.init_from.run=latest", "+model.param_dtype=float32"],
]
WRONG = [
    (["+model.freeze=hidden/*"], "model.freeze: the text 'hidden/*' is given; a list is expected"),
    (
        ["+model.regularizers={*/w: {_target_: layers.regularizers.L2, strength: -1}}"],
        "model.regularizers.*/w.strength: -1 is out of range; a number at least 0 is expected",
    ),
    (
        ["+model.regularizers={*/w: 0.1}"],
        "model.regularizers.*/w: 0.1 is given; a function (a mapping with _target_) is expected",
    ),
    (
        ["+model.init_from.run=abc"],
        "model.init_from.run: 'abc' is neither a run id (32 characters of 0-9 and a-f) nor "
        "'latest'",
    ),
    (
        [f"+model.init_from.run={RUN}", "+model.init_from.mapp={a: b}"],
        "model.init_from.mapp: there is no such key. Did you mean 'map'?",
    ),
    (
        ["+model.init_from.run=latest", "+model.init_from.map={a/*: b}"],
        "model.init_from.map: 'a/*' to 'b': both are patterns of paths with as many *, such as "
        '"encoder/*": "body/*"',
    ),
    (
        ["+model.init_from.run=latest", "+model.init_from.map=[a]"],
        "model.init_from.map: ['a'] is given; a mapping is expected, path here to path there: "
        '{"encoder/*": "body/*"}',
    ),
    (
        ["+model.init_from=latest"],
        "model.init_from: 'latest' is given; a mapping is expected; write "
        "model.init_from.run=<run id>",
    ),
    (
        ["+model.init_from.run=latest", "+model.init_from.checkpoint=bst"],
        "model.init_from.checkpoint: 'bst'. Did you mean 'best' or 'last'?",
    ),
    (
        ["+model.init_from.run=latest", "tracking=off"],
        "model.init_from: tracking=off keeps no runs to start from; name a store",
    ),
    (
        ["model=resnet_small", "model.layers.body.blocks=2"],
        "model.layers.body.blocks: 2 is given; a list is expected",
    ),
]


@pytest.mark.parametrize("overrides", RIGHT, ids=str)
def test_right_options_pass(overrides: list[str]) -> None:
    preflight.check(compose("train", overrides))


@pytest.mark.parametrize(("overrides", "message"), WRONG, ids=[text for _, text in WRONG])
def test_wrong_options_are_told(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        preflight.check(compose("train", overrides))
    assert message in str(error.value)
