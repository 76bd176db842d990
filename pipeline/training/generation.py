"""Text from a language model, one token after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipeline.errors import ConfigError

Generator = Callable[[Any, Any], tf.Tensor]


def generator(
    logits_of: Callable[[tf.Tensor], tf.Tensor],
    *,
    context: int,
    length: int,
    temperature: float = 1.0,
    padding: int | None = None,
) -> Generator:
    """A function ``f(prompt, key)`` that continues prompts by ``length`` tokens: ``[batch, tokens]
    -> [batch, tokens + length]``, in the prompt's dtype.

    It is traced once for each shape of prompts, so make it once and call it often. The same key and
    weights give the same tokens, and a batch is one draw: rows of the same prompt differ. Each
    token takes a forward pass over ``context`` places; what is further back is forgotten, as in
    training.

    Args:
        logits_of: tokens ``[batch, context]`` to logits ``[batch, context, vocabulary]``, of which
            none depends on later tokens.
        context: how many tokens the model was trained to see.
        temperature: divides the logits before a token is drawn; 0: the likeliest is taken, of
            several the first, whatever the key.
        padding: a token that is never given.

    Raises:
        ConfigError: the temperature is below 0.
    """
    if not temperature >= 0:
        raise ConfigError(f"temperature: {temperature} is not 0 (the likeliest token) or above")

    def choose(logits: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(logits, tf.float32)
        if padding is not None:
            never = tf.equal(tf.range(logits.shape[-1]), padding)
            logits = tf.where(never, logits.dtype.min, logits)
        if temperature:
            # The highest of logits with Gumbel noise is a draw from their softmax.
            tiny = logits.dtype.as_numpy_dtype(1e-30)
            uniform = tf.random.stateless_uniform(tf.shape(logits), key, tiny, 1.0, alg="philox")
            logits = logits / temperature - tf.math.log(-tf.math.log(uniform))
        return tf.argmax(logits, -1)

    @tf.function(autograph=False, reduce_retracing=True)
    def generate(prompt: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        given, end = prompt.shape[1], prompt.shape[1] + length
        room = max(end, context)
        tokens = tf.pad(prompt, [[0, 0], [0, room - given]])

        def body(at: tf.Tensor, tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            first = tf.maximum(at - context, 0)
            seen = tf.ensure_shape(tokens[:, first : first + context], [None, context])
            logits = tf.gather(logits_of(seen), at - 1 - first, axis=1)
            drawn = choose(logits, key + tf.cast(tf.stack([0, at]), key.dtype))
            here = tf.equal(tf.range(room), at)
            return at + 1, tf.where(here, tf.cast(drawn, tokens.dtype)[:, tf.newaxis], tokens)

        _, tokens = tf.while_loop(
            lambda at, _: at < end, body, (tf.constant(given), tokens), parallel_iterations=1
        )
        return tokens[:, :end]

    def call(prompt: Any, key: Any) -> tf.Tensor:
        prompt, key = tf.convert_to_tensor(prompt), tf.convert_to_tensor(key, tf.int64)
        if prompt.shape.rank != 2 or not prompt.shape[1]:
            raise ConfigError(
                f"a prompt is [batch, tokens] with one token at least, not {prompt.shape.as_list()}"
            )
        return generate(prompt, key)

    return call
