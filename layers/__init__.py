"""What a model is made of: ``tf.Module`` layers, right under any ``tf.distribute`` strategy.

This package imports TensorFlow and nothing else of the project.
"""

from layers.activation import Activation
from layers.convolution import Conv2D
from layers.core.base import Layer, build, layers_of, set_precision
from layers.core.context import training_step
from layers.core.errors import LayerError
from layers.core.roles import carrying, outer_variables, published_metrics, reset
from layers.core.summary import Row, summarize
from layers.dense import Dense
from layers.dropout import Dropout
from layers.embedding import Embedding
from layers.normalization import BatchNorm, LayerNorm
from layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from layers.recurrent import Cell, GRUCell, LSTMCell, Recurrent, RNNCell
from layers.self_training import SelfTraining
from layers.shape import Flatten, Reshape
from layers.stack import Residual, Stack
from layers.stateful import Stateful

__all__ = [
    "Activation",
    "AvgPool2D",
    "BatchNorm",
    "Cell",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GlobalAvgPool2D",
    "LSTMCell",
    "Layer",
    "LayerError",
    "LayerNorm",
    "MaxPool2D",
    "RNNCell",
    "Recurrent",
    "Reshape",
    "Residual",
    "Row",
    "SelfTraining",
    "Stack",
    "Stateful",
    "build",
    "carrying",
    "layers_of",
    "outer_variables",
    "published_metrics",
    "reset",
    "set_precision",
    "summarize",
    "training_step",
]
