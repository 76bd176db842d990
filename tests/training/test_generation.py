"""Tokens drawn from a language model: which, how often, and from how much of what came before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import layers
from pipeline.errors import ConfigError
from pipeline.training.generation import generator


def follows_sum(tokens: tf.Tensor) -> tf.Tensor:
    """The likeliest token is the sum of all that are seen so far, and 1, by modulo 7."""
    return tf.one_hot((tf.cumsum(tokens, 1) + 1) % 7, 7)


def by_hand(prompt: list[int], length: int, context: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(length):
        tokens.append((sum(tokens[-context:]) + 1) % 7)
    return tokens


@pytest.mark.parametrize("context", [1, 4, 9, 30])
def test_likeliest_token_follows_from_the_context_alone(context: int) -> None:
    prompts = [[1, 2, 3, 5, 6], [0, 0, 0, 0, 4]]
    generate = generator(follows_sum, context=context, length=12, temperature=0)
    found = generate(prompts, [0, 0])
    assert found.numpy().tolist() == [by_hand(prompt, 12, context) for prompt in prompts]
    assert found.dtype == tf.int32
    np.testing.assert_array_equal(found, generate(prompts, [5, 5]))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_are_drawn_as_often_as_the_model_says(temperature: float) -> None:
    logits = np.log([0.1, 0.2, 0.3, 0.4]).astype(np.float32)

    def always(tokens: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(logits, [*tokens.shape.as_list(), 4])

    generate = generator(always, context=1, length=20, temperature=temperature)
    drawn = generate(np.zeros([1000, 1], np.int64), [1, 2]).numpy()[:, 1:]
    assert drawn.dtype == np.int64
    expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    share = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    np.testing.assert_allclose(share, expected, atol=0.01)
    assert not (drawn[:, 1:] == drawn[:, :-1]).all(0).any()  # each place draws anew


def test_the_same_key_gives_the_same_tokens_and_another_key_others() -> None:
    generate = generator(follows_sum, context=5, length=30)
    prompts = np.zeros([2, 3], np.int32)
    first, again, other = (generate(prompts, key).numpy() for key in ([0, 7], [0, 7], [1, 7]))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()  # rows of one prompt are draws of their own
    assert not first[:, :3].any()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_padding_is_never_given(temperature: float) -> None:
    def padding_first(tokens: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to([9.0, 1.0, 0.0], [*tokens.shape.as_list(), 3])

    generate = generator(padding_first, context=2, length=50, temperature=temperature, padding=0)
    found = generate([[2, 1]], [0, 0]).numpy()
    assert 0 not in found
    assert (found == 1).sum() >= 20


@pytest.mark.slow
def test_a_model_of_layers_gives_what_it_gives_step_by_step(
    strategy_of: Callable[[int], Any],
) -> None:
    with strategy_of(2).scope():
        model = layers.Stack(
            {
                "embed": layers.Embedding(11, 8),
                "recurrent": layers.Recurrent(layers.GRUCell(6), return_sequences=True),
                "logits": layers.Dense(11),
            }
        )
        layers.build(model, tf.TensorSpec([None, 5], tf.int32), seed=3)
    for variable in model.trainable_variables:
        variable.assign(2 * variable)  # so that the likeliest are not one token only

    def logits_of(tokens: tf.Tensor) -> tf.Tensor:
        return model(tokens, training=False)

    tokens = [4, 2, 9]
    found = generator(logits_of, context=5, length=9, temperature=0)([tokens], [0, 0]).numpy()
    for _ in range(9):
        tokens.append(int(tf.argmax(logits_of(tf.constant([tokens[-5:]]))[0, -1])))
    assert found.tolist() == [tokens]
    assert len({*tokens}) > 3


@pytest.mark.parametrize(
    ("prompt", "said"), [([1, 2], r"not \[2\]"), (np.zeros([2, 0], np.int32), r"not \[2, 0\]")]
)
def test_a_prompt_that_is_none_is_refused(prompt: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        generator(follows_sum, context=5, length=1)(prompt, [0, 0])


def test_temperature_is_not_below_zero() -> None:
    with pytest.raises(ConfigError, match=r"temperature: -1.0 is not 0 \(the likeliest token\)"):
        generator(follows_sum, context=5, length=1, temperature=-1.0)
