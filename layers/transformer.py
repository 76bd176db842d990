"""The blocks that Transformers are stacked from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from layers import initializers
from layers.attention import MultiHeadAttention
from layers.core.arguments import choice, number, whole
from layers.core.base import Layer
from layers.dense import Dense
from layers.noise import Dropout, DropPath
from layers.normalization import LayerNorm, RMSNorm

NORMS: dict[str, type[Layer]] = {"layer": LayerNorm, "rms": RMSNorm}


class FeedForward(Layer):
    """Two Dense layers at each step alone: ``[batch, ..., features] -> the same``.

    ``outer(activation(inner(x)))`` (Vaswani et al. 2017), or where it is gated
    ``outer(activation(gate(x)) * inner(x))`` (Shazeer 2020).

    Args:
        units: size of the hidden layer, often 4 times the features.
        activation: name in ``layers.activations``, a function, or ``None`` for none.
        gated: SwiGLU with the activation silu, GEGLU with gelu. It has a kernel more: 2/3 of the
            units make it as large as one that is not gated.
        dropout: in training the share of hidden values that become zero.
    """

    def __init__(
        self,
        units: int,
        activation: str | Callable[..., Any] | None = "gelu",
        gated: bool = False,
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "glorot_uniform",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = whole(self, "units", units)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.gate = self._dense(self.units, activation) if gated else None
        self.inner = self._dense(self.units, None if gated else activation)
        rate = number(self, "dropout", dropout, least=0.0, below=1.0)
        self.dropout = Dropout(rate) if rate else None

    def build(self, x: tf.TensorSpec) -> None:
        self.require_axes(x, 2, "[batch, ..., features]")
        self.outer = self._dense(self.require_known(x), None)

    def _dense(self, units: int, activation: Any) -> Dense:
        return Dense(
            units,
            activation,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
        )

    def call(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        y = self.inner(x, training=training)
        if self.gate is not None:
            y *= self.gate(x, training=training)
        if self.dropout is not None:
            y = self.dropout(y, training=training)
        return self.outer(y, training=training)


class TransformerBlock(Layer):
    """Attention, then a feed-forward net, each around a normalised input (pre-norm)::

        x = x + attention(attention_norm(x))
        x = x + feedforward(feedforward_norm(x))

    ``[batch, time, features] -> the same`` (Vaswani et al. 2017; pre-norm: Xiong et al. 2020). As
    nothing is normalised on the way around, a stack of blocks wants a norm after the last. A mask
    ``[batch, time]``, ``layer(x, mask=…)``, is true at the steps that count; nothing looks at the
    others.

    Args:
        heads: of the attention; see ``MultiHeadAttention``.
        units: size of the feed-forward net's hidden layer, often 4 times the features.
        causal: step t looks at steps 0 to t only, as a language model does.
        dropout: in training the share of values that become zero: of attention weights, of the
            hidden layer, and of what attention and feed-forward net add.
        drop_path: in training the share of examples for which attention, or the feed-forward net,
            is skipped; see ``DropPath``.
        norm: ``layer`` for LayerNorm, ``rms`` for RMSNorm.
    """

    def __init__(
        self,
        heads: int,
        units: int,
        head_units: int | None = None,
        key_value_heads: int | None = None,
        causal: bool = False,
        rotary: bool = False,
        activation: str | Callable[..., Any] | None = "gelu",
        gated: bool = False,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        norm: str = "layer",
        use_bias: bool = True,
        kernel_initializer: str | Callable[..., Any] = "glorot_uniform",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        rate = number(self, "dropout", dropout, least=0.0, below=1.0)
        skipped = number(self, "drop_path", drop_path, least=0.0, below=1.0)
        normalise = NORMS[choice(self, "norm", norm, NORMS)]
        both: dict[str, Any] = {
            "dropout": rate,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
        }
        self.attention_norm = normalise()
        self.attention = MultiHeadAttention(
            heads, head_units, key_value_heads, causal=causal, rotary=rotary, **both
        )
        self.feedforward_norm = normalise()
        self.feedforward = FeedForward(units, activation, gated=gated, **both)
        # Used for both: what is drawn is new for each use.
        self.noise: list[Layer] = [Dropout(rate)] if rate else []
        self.noise += [DropPath(skipped)] if skipped else []

    def build(self, x: tf.TensorSpec) -> None:
        self.require_rank(x, 3, "[batch, time, features]")

    def call(self, x: tf.Tensor, training: bool, mask: tf.Tensor | None = None) -> tf.Tensor:
        x = self.cast(x)
        y = self.attention_norm(x, training=training)
        x += self._disturbed(self.attention(y, training=training, mask=mask), training)
        y = self.feedforward_norm(x, training=training)
        return x + self._disturbed(self.feedforward(y, training=training), training)

    def _disturbed(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        for layer in self.noise:
            x = layer(x, training=training)
        return x
