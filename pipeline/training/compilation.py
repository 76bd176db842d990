"""What XLA compiles, chosen by rule. The choice and its reason are recorded with the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from layers import Layer, layers_of
from pipeline.errors import ConfigError

# On CPU, XLA runs these several times slower than TensorFlow's own kernels.
SLOW_ON_CPU = {
    "Conv2D",
    "Conv3D",
    "Conv2DBackpropInput",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative",
}


@dataclass(frozen=True)
class Compilation:
    """``mode``: loop (the whole multi-step loop in XLA), gradients (forward and backward), off."""

    mode: str
    reason: str

    def __str__(self) -> str:
        return f"{self.mode}: {self.reason}"


def choose(requested: str, model: Layer, element: Any, replicas: int, on_gpu: bool) -> Compilation:
    """The mode for ``trainer.compile``; ``auto`` decides by the model's graph and the devices.

    Raises:
        ConfigError: the mode asked for cannot compile this model on that many replicas.
    """
    if requested == "loop" and replicas > 1:
        raise ConfigError(
            "trainer.compile=loop: XLA compiles the whole loop for one replica only, and there "
            f"are {replicas}; use auto, gradients or off"
        )
    assigns = any(not variable.trainable for variable in model.variables) or any(
        layer.trains_itself for layer in layers_of(model)
    )
    if requested == "gradients" and replicas > 1 and assigns:
        raise ConfigError(
            "trainer.compile=gradients: the model assigns state in its forward pass (BatchNorm, "
            f"for one), which XLA cannot do on {replicas} replicas; use auto or off"
        )
    if requested != "auto":
        return Compilation(requested, "asked for by trainer.compile")
    slow = sorted(operations(model, element) & SLOW_ON_CPU)
    if slow and not on_gpu:
        return Compilation("off", f"{slow[0]} is slower in XLA on CPU")
    if replicas == 1:
        return Compilation("loop", "one replica, resident data")
    # Measured on two CPU replicas: compiling each one's gradients halves the speed of small models.
    return Compilation("off", f"{replicas} replicas")


def operations(model: Layer, element: Any) -> set[str]:
    """The types of all operations in the model's forward pass."""
    traced = tf.function(lambda x: model(x, training=False), autograph=False)
    graph: Any = traced.get_concrete_function(element).graph
    types = {op.type for op in graph.get_operations()}
    for function in graph.as_graph_def().library.function:
        types |= {node.op for node in function.node_def}
    return types
