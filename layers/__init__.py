"""What a model is made of: ``tf.Module`` layers, right under any ``tf.distribute`` strategy.

This package imports TensorFlow and nothing else of the project.
"""

from layers.activation import Activation, Identity, PReLU
from layers.attention import MultiHeadAttention
from layers.batch_norm import BatchNorm
from layers.bias import Bias
from layers.cells import Cell, GRUCell, LSTMCell, RNNCell, StackedCells
from layers.containers import Branches, Masked, Repeat, Residual, Stack
from layers.convolution import Conv1D, Conv2D, Conv3D
from layers.core.base import Layer
from layers.core.context import step_context, training_step
from layers.core.errors import LayerError
from layers.core.model import build, layers_of, set_precision
from layers.core.roles import (
    carrying,
    outer_variables,
    penalty_of,
    published_metrics,
    reset,
    trained_variables,
)
from layers.core.summary import Row, summarize
from layers.dense import Dense
from layers.depthwise_convolution import DepthwiseConv2D, SeparableConv2D
from layers.embedding import Embedding, Unembedding
from layers.noise import Dropout, DropPath, GaussianNoise, SpatialDropout
from layers.normalization import GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from layers.pooling import (
    AvgPool1D,
    AvgPool2D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    MaxPool1D,
    MaxPool2D,
)
from layers.positions import LearnedPositions, SinusoidalPositions
from layers.recurrent import Bidirectional, Recurrent
from layers.self_training import SelfTraining
from layers.shape import Flatten, Permute, Reshape
from layers.standardize import Standardize, adapt, adapting
from layers.stateful import Stateful
from layers.statistics import MovingAverage, RunningStatistics
from layers.transformer import FeedForward, TransformerBlock
from layers.transposed_convolution import ConvTranspose1D, ConvTranspose2D

__all__ = [
    "Activation",
    "AvgPool1D",
    "AvgPool2D",
    "BatchNorm",
    "Bias",
    "Bidirectional",
    "Branches",
    "Cell",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "ConvTranspose1D",
    "ConvTranspose2D",
    "Dense",
    "DepthwiseConv2D",
    "DropPath",
    "Dropout",
    "Embedding",
    "FeedForward",
    "Flatten",
    "GRUCell",
    "GaussianNoise",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "LSTMCell",
    "Layer",
    "LayerError",
    "LayerNorm",
    "LearnedPositions",
    "Masked",
    "MaxPool1D",
    "MaxPool2D",
    "MovingAverage",
    "MultiHeadAttention",
    "PReLU",
    "Permute",
    "RMSNorm",
    "RNNCell",
    "Recurrent",
    "Repeat",
    "Reshape",
    "Residual",
    "Row",
    "RunningStatistics",
    "SelfTraining",
    "SeparableConv2D",
    "SinusoidalPositions",
    "SpatialDropout",
    "Stack",
    "StackedCells",
    "Standardize",
    "Stateful",
    "TransformerBlock",
    "Unembedding",
    "adapt",
    "adapting",
    "build",
    "carrying",
    "layers_of",
    "outer_variables",
    "penalty_of",
    "published_metrics",
    "reset",
    "set_precision",
    "step_context",
    "summarize",
    "trained_variables",
    "training_step",
]
