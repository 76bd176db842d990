"""The table that tokens are looked up in, used for the logits too."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import layers


def _tied() -> layers.Stack:
    embedding = layers.Embedding(5, 3)
    model = layers.Stack({"embed": embedding, "logits": layers.Unembedding(embedding)})
    layers.build(model, tf.TensorSpec([None, 4], tf.int32))
    return model


def test_logits_are_products_with_the_rows_of_the_table() -> None:
    model, tokens = _tied(), tf.constant([[0, 4, 2, 2]])
    table = model["embed"].table.numpy()
    np.testing.assert_allclose(model(tokens)[0], table[[0, 4, 2, 2]] @ table.T, rtol=1e-5)


def test_a_tied_table_is_one_variable_that_learns_from_both_its_uses() -> None:
    model, tokens = _tied(), tf.constant([[0, 4, 2, 2]])
    assert list(model.named_variables()) == ["embed/table"]
    assert [(row.path, row.parameters) for row in layers.summarize(model)] == [
        ("", 0),
        ("embed", 15),
        ("logits", 0),
    ]
    table = model["embed"].table
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tokens, training=True))
    used = np.zeros((5, 1))
    np.add.at(used, [0, 4, 2, 2], 1.0)
    rows = table.numpy()
    # The sum over all pairs of a token's row and a row of the table.
    expected = used * rows.sum(0) + rows[[0, 4, 2, 2]].sum(0)
    np.testing.assert_allclose(tape.gradient(loss, table), expected, rtol=1e-5, atol=1e-7)
