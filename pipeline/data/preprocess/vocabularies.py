"""What a text is cut into, and the number of each piece: bytes, characters, words, subwords.

``text.py`` prepares the texts and gives the numbers their shape. Everything that a model needs to
read a text is made of TensorFlow operations; only learning subwords needs a library.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from pipeline.errors import DataError

PADDING, UNKNOWN = 0, 1
RESERVED = (b"", "\ufffd".encode())  # the pieces of the two

_END = b"\xff"  # never in UTF-8, so no text has it


class Vocabulary(tf.Module, ABC):
    """Pieces of text by id: 0 is padding, 1 whatever is not known, then the pieces.

    Args:
        size: ids at most.

    Attributes:
        pieces: an array of bytes objects, by id.
        exact: joined pieces are the text.
        learns: from the training split.
        missing: what the table says of a string that is no piece.
    """

    exact: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    missing: ClassVar[int] = UNKNOWN

    def __init__(self, size: int | None) -> None:
        super().__init__()
        self.size = size
        self.pieces = np.array(RESERVED, object)

    @abstractmethod
    def ids(self, text: tf.Tensor, length: int | None) -> tf.RaggedTensor:
        """``[b] -> [b, (n)]`` int32; what lies behind ``length`` may be left out."""

    def learn(self, label: str, texts: Iterable[tf.Tensor]) -> None:
        """Take the pieces from ``texts``, batches ``[b]`` of strings. ``label``: for messages."""
        counts: Counter[bytes] = Counter()
        for text in texts:
            counts.update(self.count(text))
        if not counts:
            raise DataError(f"{label}: there is no text in the training split.")
        self._take(self.choose(label, counts))

    def count(self, text: tf.Tensor) -> Mapping[bytes, int]:
        """How often each unit that pieces are made of occurs in ``[b]`` strings."""
        return {}

    def choose(self, label: str, counts: Counter[bytes]) -> list[bytes]:
        """The pieces, without the reserved two: the most frequent, of the same count the lesser."""
        most = None if self.size is None else self.size - len(RESERVED)
        return sorted(counts, key=lambda piece: (-counts[piece], piece))[:most]

    def _take(self, pieces: list[bytes]) -> None:
        self.pieces = np.array([*RESERVED, *pieces], object)
        numbers = tf.range(len(RESERVED), len(self.pieces), dtype=tf.int32)
        entries = tf.lookup.KeyValueTensorInitializer(self._keys(pieces), numbers)
        self.table = tf.lookup.StaticHashTable(entries, self.missing)

    def _keys(self, pieces: list[bytes]) -> tf.Tensor:
        """What the table finds the pieces by."""
        return tf.constant(pieces, tf.string)


class Bytes(Vocabulary):
    """The bytes of UTF-8: 1 to 256 are the bytes 0 to 255. Nothing is unknown, nothing learnt."""

    learns: ClassVar[bool] = False

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.pieces = np.array([b"", *(bytes([byte]) for byte in range(256))], object)

    def ids(self, text: tf.Tensor, length: int | None) -> tf.RaggedTensor:
        sizes = tf.strings.length(text)
        if length is not None:
            sizes = tf.minimum(sizes, length)
        longest = tf.maximum(tf.reduce_max(tf.concat([sizes, [1]], 0)), 1)
        values = tf.io.decode_raw(text, tf.uint8, fixed_length=longest)
        return tf.RaggedTensor.from_tensor(tf.cast(values, tf.int32) + 1, lengths=sizes)


class Characters(Vocabulary):
    """The code points of the training split, the most frequent first."""

    def count(self, text: tf.Tensor) -> dict[bytes, int]:
        points, counts = np.unique(_points(text).flat_values, return_counts=True)
        return {chr(point).encode(): n for point, n in zip(points, counts.tolist(), strict=True)}

    def ids(self, text: tf.Tensor, length: int | None) -> tf.RaggedTensor:
        if length is not None:
            text = tf.strings.substr(text, 0, length, unit="UTF8_CHAR")
        points = _points(text)
        return points.with_flat_values(self.table.lookup(points.flat_values))

    def _keys(self, pieces: list[bytes]) -> tf.Tensor:
        return tf.constant([ord(piece.decode()) for piece in pieces], tf.int32)


def _points(text: tf.Tensor) -> tf.RaggedTensor:
    return tf.strings.unicode_decode(text, "UTF-8", errors="replace")


class _OfUnits(Vocabulary):
    """Texts are cut into strings first."""

    @abstractmethod
    def units(self, text: tf.Tensor) -> tf.RaggedTensor:
        """What a text is cut into: ``[b] -> [b, (n)]`` strings."""

    def count(self, text: tf.Tensor) -> Mapping[bytes, int]:
        return Counter(self.units(text).flat_values.numpy().tolist())


class Words(_OfUnits):
    """The most frequent words: letters, digits, ``'`` and ``_``; every other sign is a word."""

    exact: ClassVar[bool] = False

    def units(self, text: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(tf.strings.regex_replace(text, r"[^\s\pL\pN\pM_']", r" \0 "))

    def ids(self, text: tf.Tensor, length: int | None) -> tf.RaggedTensor:
        units = self.units(text)
        units = units if length is None else units[:, :length]
        return units.with_flat_values(self.table.lookup(units.flat_values))


class Subwords(_OfUnits):
    """Pieces of words that SentencePiece's byte-pair encoding learns, longest first.

    Ids are given by greedy longest match over the pieces, as WordPiece does, not by the order of
    merges: so it is the same operations in training and in a served model, which needs no library.
    A piece has the space before a word in it, never one behind or within; other white space stands
    for itself. Pieces give the text back exactly, but for characters that are not known.
    """

    missing: ClassVar[int] = PADDING  # not a piece: a shorter one may be

    def units(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Words with the space before them, and single white space."""
        marked = tf.strings.regex_replace(text, r" ?[^\s]+|\s", rb"\0" + _END)
        words = tf.strings.split(marked, _END)
        return tf.ragged.boolean_mask(words, tf.strings.length(words) > 0)

    def choose(self, label: str, counts: Counter[bytes]) -> list[bytes]:
        assert self.size is not None
        space = sorted(word for word in counts if word.isspace() and word != b" ")
        words = {word: count for word, count in counts.items() if word not in space}
        size = self.size - len(RESERVED) - len(space)
        return [*space, *_byte_pairs(label, words, size)]

    def ids(self, text: tf.Tensor, length: int | None) -> tf.RaggedTensor:
        words = self.units(text)
        if length is not None:
            words = words[:, :length]  # each has one piece at least
        # Texts repeat their words, so each is looked up once.
        word, index = tf.unique(words.flat_values)
        ids = tf.gather(self.match(word, tf.int32.max if length is None else length), index)
        return words.with_flat_values(ids).merge_dims(1, 2)

    def _take(self, pieces: list[bytes]) -> None:
        super()._take(pieces)
        self.lengths = np.array([1 if not p else len(p) for p in self.pieces], np.int32)
        self.tried = np.array(sorted({len(p) for p in pieces}, reverse=True), np.int32)
        # A graph of its own, because step by step the loop takes three times as long.
        signature = [tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)]
        self.match = tf.function(self._longest_match, signature, autograph=False)

    def _longest_match(self, words: tf.Tensor, most: tf.Tensor) -> tf.RaggedTensor:
        """The ids of ``words`` ``[n]``, a piece of each at a time: ``[n, (pieces)]``.

        ``most``: pieces of a word that are wanted.
        """
        count = tf.size(words)

        def unfinished(step: tf.Tensor, live: tf.Tensor, at: tf.Tensor, ids: Any) -> tf.Tensor:
            # Once in any case: a TensorArray of nothing cannot be stacked.
            return (step < 1) | (step < most) & (tf.size(live) > 0)

        def next_piece(step: tf.Tensor, live: tf.Tensor, at: tf.Tensor, ids: Any) -> tuple:
            word = tf.gather(words, live)
            piece, size = self._first_piece(word, at)
            ids = ids.write(step, tf.scatter_nd(live[:, tf.newaxis], piece, count[tf.newaxis]))
            at += size
            left = at < tf.strings.length(word)
            return step + 1, tf.boolean_mask(live, left), tf.boolean_mask(at, left), ids

        ids = tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=[None])
        every = tf.range(count)
        steps, _, _, ids = tf.while_loop(
            unfinished, next_piece, (tf.constant(0), every, tf.zeros_like(every), ids)
        )
        rows = tf.transpose(tf.reshape(ids.stack(), [steps, count]))
        return tf.RaggedTensor.from_tensor(rows, padding=PADDING)

    def _first_piece(self, words: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The id of the longest piece that begins at byte ``at`` of each word, and its bytes."""
        shape = tf.stack([tf.size(words), len(self.tried)])
        starts = tf.broadcast_to(at[:, tf.newaxis], shape)
        sizes = tf.broadcast_to(self.tried[tf.newaxis], shape)
        found = self.table.lookup(tf.strings.substr(words[:, tf.newaxis], starts, sizes))
        longest = tf.argmax(found > 0, axis=1, output_type=tf.int32)  # the first that there is
        piece = tf.gather(found, longest, batch_dims=1)
        first = tf.strings.substr(words, at, tf.ones_like(at))
        first = tf.io.decode_raw(first, tf.uint8, fixed_length=1)[:, 0]
        known = piece > 0
        size = tf.where(known, tf.gather(self.lengths, piece), _character_size(first))
        return tf.where(known, piece, UNKNOWN), size


def _character_size(first: tf.Tensor) -> tf.Tensor:
    """Bytes of a character in UTF-8, by its first byte."""
    return 1 + sum(tf.cast(first >= least, tf.int32) for least in (0xC0, 0xE0, 0xF0))


def _byte_pairs(label: str, counts: dict[bytes, int], size: int) -> list[bytes]:
    """At most ``size`` pieces of the words, a space before them included."""
    try:
        import sentencepiece
    except ImportError as error:
        raise DataError(
            f"{label}: learning subwords needs the package sentencepiece. Install it with "
            "pip install 'module-pipeline[text]', or take vocabulary=characters or bytes."
        ) from error
    # SentencePiece writes a space as ▁, ends a word's line at a tab, and skips a null.
    words = [(w.decode(errors="replace"), n) for w, n in counts.items()]
    usable = sorted((w, n) for w, n in words if not set(w) & set("▁\t\0\ufffd"))
    characters = len({character for word, _ in usable for character in word})
    if size < characters:
        raise DataError(
            f"{label}.size: the training split has {characters:,} characters, each of which is a "
            f"piece. Make the size several times that, or take vocabulary=bytes."
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_lines(usable),
        model_writer=model,
        input_format="tsv",
        model_type="bpe",
        vocab_size=size + 1,  # with its own unknown
        hard_vocab_limit=False,  # a small text has fewer
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    made = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = (made.id_to_piece(number) for number in range(1, made.get_piece_size()))
    return [piece.replace("▁", " ").encode() for piece in pieces]


def _lines(counts: Iterable[tuple[str, int]]) -> Iterator[str]:
    return (f"{word}\t{count}" for word, count in counts)


KINDS: dict[str, type[Vocabulary]] = {
    "bytes": Bytes,
    "characters": Characters,
    "words": Words,
    "subwords": Subwords,
}
