"""Text to token ids, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from layers.core.specs import describe
from pipeline.data.preprocess.step import Batches, Inputs, Step, require_one
from pipeline.data.preprocess.vocabularies import KINDS, RESERVED, Vocabulary
from pipeline.errors import DataError, did_you_mean


class Tokens(Step):
    """Text ``[b]`` to token ids, int32 ``[b, length]``, cut or filled with 0 at the end.

    The vocabulary is one of

    - ``bytes``: the bytes of UTF-8, 1 to 256. Nothing is unknown and nothing has to be learnt.
    - ``characters``: those of the training split, by frequency, then by code point.
    - ``words``: the most frequent of the training split; a punctuation mark is a word.
    - ``subwords``: learnt from the training split by SentencePiece (``pip install
      'module-pipeline[text]'``) as byte pairs, and found by greedy longest match.

    Id 0 is padding. But for bytes, 1 is whatever is not known, and what was learnt begins at 2.

    Args:
        length: tokens of each text; null: all of them, of one text at a time. So a split of long
            texts can be cut into windows.
        size: ids at most, those two included; an embedding needs as many rows. Null: as many as
            there are; subwords need it. Of bytes there are 257.
        lower: write it in lower case first.
        strip_punctuation: leave punctuation out.
        collapse_whitespace: make one space of every run of white space, none at both ends.
    """

    host: ClassVar[bool] = True

    def __init__(
        self,
        vocabulary: Literal["bytes", "characters", "words", "subwords"],
        length: int | None,
        size: int | None = None,
        lower: bool = False,
        strip_punctuation: bool = False,
        collapse_whitespace: bool = False,
    ) -> None:
        super().__init__()
        if vocabulary not in KINDS:
            raise ValueError(
                f"Tokens: there is no vocabulary {vocabulary!r}. {did_you_mean(vocabulary, KINDS)}"
            )
        if vocabulary == "bytes" and size not in (None, 257):
            raise ValueError(f"Tokens: of bytes there are 257 ids, not {size}. Leave size out.")
        if vocabulary == "subwords" and size is None:
            raise ValueError("Tokens: subwords need a size: how many ids there are at most.")
        if size is not None and size <= len(RESERVED):
            raise ValueError(f"Tokens: size={size} leaves no id beside padding and unknown.")
        self.kind = vocabulary
        self.length = None if length is None else int(length)
        self.lower = lower
        self.strip_punctuation = strip_punctuation
        self.collapse_whitespace = collapse_whitespace
        self.vocabulary: Vocabulary = KINDS[vocabulary](size)

    @property
    def ids(self) -> int:
        """How many ids there are: all are below it. Final once it is fitted."""
        return len(self.vocabulary.pieces)

    @property
    def bytes_of_token(self) -> np.ndarray:
        """UTF-8 bytes that each id stands for, int32 [ids], for bits per byte.

        Padding has 0. An unknown character counts as 1, so that not knowing it is no gain. Words
        are counted without what is between them.
        """
        sizes = np.array([len(piece) for piece in self.vocabulary.pieces], np.int32)
        if self.vocabulary.learns:
            sizes[1] = 1
        return sizes

    def fit(self, batches: Batches) -> None:
        if self.vocabulary.learns:
            self.vocabulary.learn(self.label, (self._standard(x) for x in batches()))

    def __call__(self, x: Inputs) -> tf.Tensor:
        text = self._standard(x)
        if self.length is None and tf.executing_eagerly() and len(text) > 1:
            raise DataError(
                f"{self.label}: with length=null it takes one text at a time, not {len(text)}, "
                "since they differ in length. Set a length."
            )
        if len(self.vocabulary.pieces) == len(RESERVED):
            raise DataError(f"{self.label}: it was not fitted to the training split yet.")
        ids = self.vocabulary.ids(text, self.length)
        return ids.to_tensor(0, shape=[None, self.length])

    def decode(self, ids: Sequence[Sequence[int]] | np.ndarray) -> list[str]:
        """The texts of rows of ids; what is unknown is U+FFFD, and padding is nothing.

        Words have a space between them, whatever there was.
        """
        between = b"" if self.vocabulary.exact else b" "
        pieces = self.vocabulary.pieces
        rows = [pieces[[number for number in row if number]].tolist() for row in np.asarray(ids)]
        return [between.join(row).decode(errors="replace") for row in rows]

    def describe(self) -> dict[str, Any]:
        pieces = self.vocabulary.pieces[len(RESERVED) :].tolist() if self.vocabulary.learns else []
        return {
            "vocabulary": self.kind,
            "length": self.length,
            "ids": self.ids,
            "lower": self.lower,
            "strip_punctuation": self.strip_punctuation,
            "collapse_whitespace": self.collapse_whitespace,
            "pieces": [piece.decode(errors="replace") for piece in pieces],
        }

    def _standard(self, x: Any) -> tf.Tensor:
        text = require_one(self, x)
        if text.dtype != tf.string:
            raise DataError(
                f"{self.label}: Tokens takes text, but its input is {describe(text)}. Leave Tokens "
                "out, or name a text feature as dataset.inputs."
            )
        if text.shape.rank not in (None, 1):
            raise DataError(
                f"{self.label}: Tokens takes one text an example, but its input is "
                f"{describe(text)}."
            )
        if self.lower:
            text = tf.strings.lower(text, encoding="utf-8")
        if self.strip_punctuation:
            text = tf.strings.regex_replace(text, r"\pP", "")
        if self.collapse_whitespace:
            text = tf.strings.strip(tf.strings.regex_replace(text, r"\s+", " "))
        return text
