"""What a model is made of: ``tf.Module`` layers, right under any ``tf.distribute`` strategy.

This package imports TensorFlow and nothing else of the project.
"""

from layers.activation import Activation
from layers.base import Layer, build, layers_of, set_precision
from layers.context import training_step
from layers.convolution import Conv2D
from layers.dense import Dense
from layers.dropout import Dropout
from layers.embedding import Embedding
from layers.errors import LayerError
from layers.normalization import BatchNorm, LayerNorm
from layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from layers.shape import Flatten, Reshape
from layers.stack import Residual, Stack
from layers.summary import Row, summarize

__all__ = [
    "Activation",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool2D",
    "Layer",
    "LayerError",
    "LayerNorm",
    "MaxPool2D",
    "Reshape",
    "Residual",
    "Row",
    "Stack",
    "build",
    "layers_of",
    "set_precision",
    "summarize",
    "training_step",
]
