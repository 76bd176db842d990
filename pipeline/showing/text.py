"""Texts by a language model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.analysis import accounts
from pipeline.analysis.accounts import Account
from pipeline.assembly import Assembly
from pipeline.showing.predictions import first, outputs
from pipeline.training.generation import generator

TEXTS, PROMPT, CONTINUED = 4, 16, 200  # texts that are written; tokens given, and tokens drawn
TEMPERATURE = 0.8
AMONG = 256  # examples of a split that texts begin with, from its beginning


class Writer:
    """Writes texts by the weights that are evaluated, as they are: ``writer(step) -> text``.

    Each begins with some tokens of the split, which stand in brackets. A step draws anew, and the
    same step and weights draw the same. Nothing that is trained changes. Make it once: the graph is
    traced at the first call.

    Args:
        role: of the split whose examples are continued.
        texts, length: how many, and the tokens that are drawn for each.
    """

    def __init__(
        self,
        parts: Assembly,
        role: str = "validation",
        texts: int = TEXTS,
        length: int = CONTINUED,
    ) -> None:
        self.parts = parts
        found = first(parts, role, AMONG).inputs
        assert isinstance(found, np.ndarray)
        self.given = min(PROMPT, found.shape[1])
        at = np.linspace(0, len(found) - 1, min(texts, len(found))).astype(int)
        self.prompts = found[at, : self.given]
        self._draw = generator(
            self._logits,
            context=found.shape[1],
            length=length,
            temperature=TEMPERATURE,
            padding=parts.data.padding,
        )

    def __call__(self, step: int) -> str:
        decode = self.parts.data.decode
        assert decode is not None
        with self.parts.trainer.evaluated_weights():
            tokens = self._draw(self.prompts, [self.parts.config.seed, step]).numpy()
        before, after = decode(tokens[:, : self.given]), decode(tokens[:, self.given :])
        return "\n\n".join(f"[{a}]{b}" for a, b in zip(before, after, strict=True)) + "\n"

    def _logits(self, tokens: tf.Tensor) -> tf.Tensor:
        return self.parts.model(self.parts.prepared.preprocessing.device(tokens), training=False)


def show_text(parts: Assembly, folder: Path, role: str) -> Account:
    """Some texts, where tokens can be made text again; see ``show``."""
    written = parts.data.decode is not None
    if written:
        (folder / "generated.txt").write_text(Writer(parts, role)(0), "utf-8")
    return accounts.of_tokens(parts.source.name, outputs(parts), parts.data.outputs, written)
