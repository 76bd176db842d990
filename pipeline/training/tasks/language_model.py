"""Each token from those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf

from layers import Layer
from pipeline.errors import ConfigError
from pipeline.training.metrics import BitsPerByte, Metric, Perplexity, Ratio
from pipeline.training.tasks.base import DataSpec, Task, chosen, refuse_output


class LanguageModel(Task):
    """The cross-entropy of each next token.

    Logits ``[batch, time, vocabulary]`` and tokens ``[batch, time]``, the inputs moved on by one
    (``dataset.frame``). Answers the probabilities of the token after the last, ``[batch,
    vocabulary]``: those of all places would fill the memory.

    What is trained is the sum over an example's tokens by ``time``, so that every token counts
    alike whatever else is in its batch or on its replica. What is reported as ``loss`` is the mean
    over tokens, in nats. Both leave out padding.

    Args:
        padding: the token that fills up short sequences and is not to be predicted; None: what the
            data says, if anything.
        metrics: beside the loss: ``perplexity``, e to the power of the loss; ``accuracy``: the
            share of tokens that were the likeliest; ``bits_per_byte``: the loss by the bytes of
            text that the tokens stand for, where the data tells them.
    """

    needs: ClassVar[str] = "tokens"
    metrics: Mapping[str, Metric] = {
        "loss": Ratio(),
        "perplexity": Perplexity(),
        "accuracy": Ratio(),
    }

    def __init__(
        self,
        padding: int | None = None,
        metrics: Sequence[Literal["perplexity", "accuracy", "bits_per_byte"]] = (
            "perplexity",
            "accuracy",
        ),
    ) -> None:
        super().__init__(name="task")
        self.padding = padding
        self.bytes: np.ndarray | None = None  # float32 [vocabulary]
        offered = {
            "loss": Ratio(),
            "perplexity": Perplexity(),
            "accuracy": Ratio(),
            "bits_per_byte": BitsPerByte(),
        }
        self.metrics = chosen(self, metrics, offered)

    def build(self, data: DataSpec) -> None:
        if self.padding is None:
            self.padding = data.padding
        if data.token_bytes is not None:
            self.bytes = np.asarray(data.token_bytes, np.float32)
        elif "bits_per_byte" in self.metrics:
            raise ConfigError(
                f"task.metrics: bits_per_byte needs to know how many bytes each token of dataset "
                f"{data.name!r} stands for, and it does not say. Leave it out; perplexity compares "
                "models of one vocabulary."
            )

    def check(self, model: Layer, output: tf.TensorSpec, data: DataSpec) -> None:
        """``[batch, time, vocabulary]``."""
        assert data.target is not None
        expected = [*data.target.shape.as_list(), data.outputs]
        if output.shape.as_list() != expected:
            has = f"sequences of {expected[1]} out of {data.outputs} tokens"
            raise refuse_output(model, output, data, has, expected)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        mask = self._mask(targets)
        logits = tf.cast(outputs, tf.float32)
        labels = tf.where(mask > 0, targets, 0)  # padding may be no token of the vocabulary
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        return tf.reduce_sum(nats * mask, -1) / targets.shape[-1]

    def measure(
        self, outputs: tf.Tensor, targets: tf.Tensor, loss: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        mask = self._mask(targets)
        nats, tokens = loss * targets.shape[-1], tf.reduce_sum(mask, -1)
        found = {"loss": tf.stack([nats, tokens], -1)}
        found["perplexity"] = found["loss"]
        if "accuracy" in self.metrics:
            right = tf.equal(tf.argmax(outputs, -1, output_type=targets.dtype), targets)
            hits = tf.reduce_sum(tf.cast(right, tf.float32) * mask, -1)
            found["accuracy"] = tf.stack([hits, tokens], -1)
        if "bits_per_byte" in self.metrics:
            length = tf.gather(self.bytes, tf.where(mask > 0, targets, 0))
            found["bits_per_byte"] = tf.stack([nats, tf.reduce_sum(length * mask, -1)], -1)
        return {name: found[name] for name in self.metrics}

    def predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """The probabilities of the token after the last, ``[batch, vocabulary]`` float32."""
        return tf.nn.softmax(tf.cast(outputs[:, -1], tf.float32))

    def _mask(self, targets: tf.Tensor) -> tf.Tensor:
        """1 for a token that is to be predicted, ``[batch, time]``."""
        if self.padding is None:
            return tf.ones(tf.shape(targets))
        return tf.cast(tf.not_equal(targets, self.padding), tf.float32)
