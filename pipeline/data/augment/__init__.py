"""Augmentation: what changes a batch at random, in the train step, on the device.

These are the ``_target_`` nodes under ``dataset.augment``: ``step(x, draw) -> x`` on this part of
the batch, where ``draw`` (``pipeline.data.draw``) gives random numbers that belong to positions in
the global batch. Steps come after preprocessing, and never in evaluation or in the exported model.
All can be compiled by XLA.
"""

from __future__ import annotations

from pipeline.data.augment.chain import Augment, Augmentation, Only, augment
from pipeline.data.augment.colour import Colour
from pipeline.data.augment.geometry import Crop, Cutout, Flip, Rotate
from pipeline.data.augment.mixing import CutMix, Mixed, MixUp, neighbours
from pipeline.data.augment.randaugment import RandAugment
from pipeline.data.augment.sequences import Noise, TimeShift, TokenDropout

__all__ = [
    "Augment",
    "Augmentation",
    "Colour",
    "Crop",
    "CutMix",
    "Cutout",
    "Flip",
    "MixUp",
    "Mixed",
    "Noise",
    "Only",
    "RandAugment",
    "Rotate",
    "TimeShift",
    "TokenDropout",
    "augment",
    "neighbours",
]
