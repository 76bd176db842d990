"""Whether data, task and model agree, where only the data can tell, before anything is trained.

What a config alone can tell is checked in ``preflight.py``; outputs and targets by each task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig, OmegaConf

import layers
from pipeline.data.features import WANTED
from pipeline.data.prepared import Prepared
from pipeline.data.preprocess import Tokens
from pipeline.errors import ConfigError, DataError
from pipeline.training.tasks import DataSpec, Task

_TOKENS = "Let dataset.preprocess make tokens of a text (_target_: pipeline.data.preprocess.Tokens)"


def check_target(prepared: Prepared, task: Task) -> None:
    """Raise ``DataError`` where a frame makes another target than the task predicts."""
    target = prepared.source.target
    made = prepared.example("train").targets
    if target.paths or made is None:
        return
    numbers = made.dtype.kind == "f"
    if target.kind in ("class", "classes") and (numbers or made.ndim > 1):
        raise DataError(
            f"dataset.frame={type(prepared.frame).__name__} makes {made.dtype} of shape "
            f"{list(made.shape[1:])} to predict, but {type(task).__name__} predicts "
            f"{WANTED[target.kind][0]}. Use task={'regression' if numbers else 'language_model'}."
        )
    if target.kind == "tokens" and numbers:
        raise DataError(
            f"dataset.inputs={prepared.source.config.inputs}: the next token is predicted, but the "
            f"examples are no tokens but {prepared.source.told()}. {_TOKENS}, or use "
            "task=regression with a frame."
        )


def check_known(config: DictConfig, prepared: Prepared, task: Task) -> None:
    """Raise ``ConfigError`` where the model asks for a size that the data does not have."""
    dataset, source = config.dataset, prepared.source
    unresolved = OmegaConf.to_container(config.model, resolve=False)
    for path, written in _leaves(unresolved, "model"):
        if written == "${dataset.vocabulary}" and dataset.vocabulary is None:
            raise ConfigError(
                f"{path}={written}, but the examples of {source.name} are no tokens "
                f"({source.told()}). {_TOKENS}, use another model, or set dataset.vocabulary where "
                "what is stored are tokens."
            )
        if written in ("${dataset.outputs}", "${dataset.classes}"):
            key = written[2:-1]
            if OmegaConf.select(config, key) is None:
                raise ConfigError(
                    f"{path}={written}, but {type(task).__name__} does not say how many of these "
                    f"{source.name} has. {_OTHERWISE.get(task.needs, f'Set {key}.')}"
                )


_OTHERWISE = {
    "inputs": "It predicts the inputs again: use model=autoencoder, or give a number.",
    "tokens": f"{_TOKENS}, or set dataset.outputs where what is stored are tokens.",
}


def check_tokens(model: layers.Layer, prepared: Prepared, data: DataSpec) -> None:
    """Raise ``ConfigError`` where the data has tokens for which an ``Embedding`` has no row."""
    inputs = prepared.model_inputs
    if not isinstance(inputs, tf.TensorSpec) or not inputs.dtype.is_integer:
        return
    most = _largest(prepared)
    for layer in layers.layers_of(model):
        if not isinstance(layer, layers.Embedding) or layer._input_specs is None:
            continue
        (given,) = layer._input_specs[:1]
        same = (given.shape[1:], given.dtype) == (inputs.shape[1:], inputs.dtype)
        if same and most >= layer.vocabulary:
            raise ConfigError(
                f"model: {layer.label} has vocabulary={layer.vocabulary}, but the tokens of "
                f"{data.name} are 0 to {most}. Write vocabulary: ${{dataset.vocabulary}}, or "
                f"{most + 1}."
            )


def _largest(prepared: Prepared) -> int:
    """The largest token that can come; of what is streamed, and not made here, that of one."""
    tokens = [s for s in prepared.preprocessing.host.steps.values() if isinstance(s, Tokens)]
    if tokens:
        return tokens[-1].ids - 1
    roles = [r for r in ("train", "validation") if not prepared.is_streamed(r)]
    parts = [np.asarray(prepared.examples(role).inputs) for role in roles]
    return max((int(part.max()) for part in parts), default=-1)


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, node
