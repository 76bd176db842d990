"""Text to tokens and back: four vocabularies, the same in training and in an exported model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.preprocess import Preprocessing, Tokens
from pipeline.errors import DataError

SPEC = tf.TensorSpec([None], tf.string)
TEXTS = [
    "the cat sat on the mat.",
    "the cats, the hat & the bat:\tété\n",
    "",
    "  that  chat Aﬁ",
]


def _bytes(texts: list[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts], object)


def _fitted(texts: list[str], *ends: int, **options: Any) -> Tokens:
    step = Tokens(**options)

    def batches() -> Iterator[np.ndarray]:
        return iter(np.split(_bytes(texts), list(ends)))

    Preprocessing({"text": step}).fit(batches, SPEC)
    return step


def test_bytes_are_one_more_than_they_are() -> None:
    step = Tokens("bytes", length=6)
    y = step(_bytes(["ab", "é\0", "abcdefgh", ""]))
    assert y.dtype == tf.int32
    np.testing.assert_array_equal(
        y,
        [[98, 99, 0, 0, 0, 0], [196, 170, 1, 0, 0, 0], [98, 99, 100, 101, 102, 103], [0] * 6],
    )
    assert step.ids == 257
    assert step.decode(y) == ["ab", "é\0", "abcdef", ""]
    np.testing.assert_array_equal(step.bytes_of_token, [0] + [1] * 256)
    assert Tokens("bytes", None)(_bytes([TEXTS[0] * 9])).shape == [1, 9 * 23]


def test_characters_are_ordered_by_frequency_then_by_code_point() -> None:
    step = _fitted(["aabbb", "éa", "cé\0"], vocabulary="characters", length=4)
    assert step.describe()["pieces"] == ["a", "b", "é", "\0", "c"]
    assert step.ids == 7
    y = step(_bytes(["baé", "xxcaab", "c\0"]))
    np.testing.assert_array_equal(y, [[3, 2, 4, 0], [1, 1, 6, 2], [6, 5, 0, 0]])
    assert step.decode(y) == ["baé", "\ufffd\ufffdca", "c\0"]
    np.testing.assert_array_equal(step.bytes_of_token, [0, 1, 1, 1, 2, 1, 1])
    few = _fitted(["aabbb", "éa", "cé"], vocabulary="characters", length=4, size=4)
    assert few.describe()["pieces"] == ["a", "b"]
    np.testing.assert_array_equal(few(_bytes(["abéc"])), [[2, 3, 1, 1]])


def test_words_are_the_most_frequent_and_punctuation_is_one() -> None:
    step = _fitted(TEXTS, vocabulary="words", length=8, size=6)
    assert step.describe()["pieces"] == ["the", "&", ",", "."]
    y = step(_bytes(["the .the,dog"]))
    np.testing.assert_array_equal(y, [[2, 5, 2, 4, 1, 0, 0, 0]])
    assert step.decode(y) == ["the . the , \ufffd"]
    every = _fitted(["don't a_b é9"], vocabulary="words", length=3)
    assert sorted(every.describe()["pieces"]) == ["a_b", "don't", "é9"]


def _greedy(text: bytes, pieces: list[bytes]) -> list[int]:
    """The rule in plain Python: the longest piece that the rest begins with."""
    ids, at = [], 0
    while at < len(text):
        fitting = [p for p in pieces if p and text.startswith(p, at)]
        piece = max(fitting, key=len, default=None)
        ids.append(1 if piece is None else pieces.index(piece))
        at += len(piece) if piece else len(text[at:].decode()[0].encode())
    return ids


def test_subwords_are_the_longest_pieces_that_fit() -> None:
    step = _fitted(TEXTS * 5, vocabulary="subwords", length=32, size=60)
    pieces = step.vocabulary.pieces.tolist()
    assert len(pieces) == step.ids == 60
    assert len(set(pieces)) == 60
    assert {b" the", b" ", b"\n", b"\t", "é".encode(), "ﬁ".encode(), b"A"} <= set(pieces)
    assert not [piece for piece in pieces if piece.rfind(b" ") > 0]  # the space before a word only
    new = ["the chats of the bath", "été 3 日本 hat", "z"]
    for texts in (TEXTS, new):
        y = step(_bytes(texts)).numpy()
        for row, text in zip(y, texts, strict=True):
            ids = _greedy(text.encode(), [b"", b"", *pieces[2:]])
            assert row.tolist() == (ids + [0] * 32)[:32]
    assert step.decode(step(_bytes(TEXTS))) == TEXTS
    assert step.decode(step(_bytes(new)))[1] == "été \ufffd \ufffd\ufffd hat"
    known = step.bytes_of_token[step(_bytes(TEXTS)).numpy()].sum(1)
    np.testing.assert_array_equal(known, [len(text.encode()) for text in TEXTS])


def test_a_word_has_a_space_before_it_only_where_the_text_has() -> None:
    pieces = _fitted(["abab\nabab"] * 3, vocabulary="subwords", length=4, size=12)
    assert [p for p in pieces.describe()["pieces"] if " " in p] == []


def test_subwords_are_cut_at_the_length_and_whole_without() -> None:
    whole = _fitted(TEXTS * 5, vocabulary="subwords", length=None, size=60)
    short = _fitted(TEXTS * 5, vocabulary="subwords", length=3, size=60)
    for text in TEXTS:
        ids = whole(_bytes([text])).numpy()[0].tolist()
        np.testing.assert_array_equal(short(_bytes([text])), [(ids + [0, 0, 0])[:3]])


@pytest.mark.parametrize("kind", ["characters", "words", "subwords"])
def test_what_is_learnt_depends_on_the_texts_alone(kind: str) -> None:
    options: dict[str, Any] = {"vocabulary": kind, "length": 8, "size": 40}
    first = _fitted(TEXTS * 3, **options)
    again = _fitted(TEXTS[::-1] * 3, 1, 5, 5, **options)
    assert again.describe() == first.describe()


def test_vocabularies_are_made_in_the_scope_of_replicas(
    strategy_of: Callable[[int], Any],
) -> None:
    options: dict[str, Any] = {"vocabulary": "characters", "length": 8}
    with strategy_of(2).scope():
        step = _fitted(TEXTS, **options)
        y = step(_bytes(TEXTS))
    np.testing.assert_array_equal(y, _fitted(TEXTS, **options)(_bytes(TEXTS)))


def test_standardised_texts() -> None:
    step = Tokens("bytes", 16, lower=True, strip_punctuation=True, collapse_whitespace=True)
    assert step.decode(step(_bytes(["  Don't,\n STOP — ÉTÉ!  "]))) == ["dont stop été"]
    plain = Tokens("bytes", 32)
    assert plain.decode(plain(_bytes(["  Don't,\n STOP!  "]))) == ["  Don't,\n STOP!  "]


@pytest.mark.parametrize(
    "kind", ["bytes", "characters", "words", pytest.param("subwords", marks=pytest.mark.slow)]
)
def test_an_exported_model_reads_text_as_training_does(kind: str, tmp_path: Path) -> None:
    class Served(tf.Module):
        def __init__(self, steps: Preprocessing) -> None:
            self.steps = steps

        @tf.function(input_signature=[SPEC], autograph=False)
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.steps(x)

    size = 50 if kind == "subwords" else None
    steps = Preprocessing({"text": Tokens(kind, 12, size, lower=True)})
    spec = steps.fit(lambda: iter([_bytes(TEXTS)]), SPEC)
    assert (spec.shape.as_list(), spec.dtype) == ([None, 12], tf.int32)
    tf.saved_model.save(Served(steps), str(tmp_path))
    again = tf.saved_model.load(str(tmp_path))
    for texts in ([*TEXTS, "NEW Words 日本"], [""], []):
        np.testing.assert_array_equal(again(_bytes(texts)), steps(_bytes(texts)))


@pytest.mark.parametrize("kind", ["bytes", "characters", "words", "subwords"])
def test_text_that_is_not_utf8_is_read_to_its_end(kind: str) -> None:
    step = _fitted(TEXTS, vocabulary=kind, length=8, size=50 if kind == "subwords" else None)
    ids = step(np.array([b"a\xff\xe9 the", b"\xc3"], object)).numpy()
    assert ids.min() >= 0
    assert ids.max() < step.ids
    assert (ids[0] > 0).sum() >= 2


def test_several_whole_texts_do_not_make_one_tensor() -> None:
    step = Preprocessing({"text": Tokens("bytes", None)})
    with pytest.raises(DataError) as error:
        step(_bytes(["ab", "abc"]))
    assert str(error.value) == (
        "dataset.preprocess.text: with length=null it takes one text at a time, not 2, since they "
        "differ in length. Set a length."
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"vocabulary": "subword"},
            "there is no vocabulary 'subword'. Did you mean 'subwords' or 'words'?",
        ),
        ({"vocabulary": "subwords"}, "subwords need a size: how many ids there are at most"),
        ({"vocabulary": "bytes", "size": 300}, "of bytes there are 257 ids, not 300"),
        ({"vocabulary": "words", "size": 2}, "size=2 leaves no id beside padding and unknown"),
    ],
)
def test_wrong_options_are_refused(options: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        Tokens(length=8, **options)


def test_a_vocabulary_that_cannot_be_learnt_says_why() -> None:
    with pytest.raises(DataError, match="dataset.preprocess.text: there is no text in the train"):
        _fitted(["", ""], vocabulary="characters", length=4)
    with pytest.raises(DataError) as error:
        _fitted(TEXTS, vocabulary="subwords", length=4, size=12)
    assert str(error.value) == (
        "dataset.preprocess.text.size: the training split has 18 characters, each of which is a "
        "piece. Make the size several times that, or take vocabulary=bytes."
    )
    with pytest.raises(DataError, match="it was not fitted to the training split yet"):
        Tokens("words", 4)(_bytes(["a"]))


def test_subwords_without_the_library_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(DataError, match=r"pip install 'module-pipeline\[text\]'"):
        _fitted(TEXTS, vocabulary="subwords", length=4, size=60)
