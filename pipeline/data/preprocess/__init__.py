"""From stored values to what a model takes: the ``_target_`` nodes under ``dataset.preprocess``.

The same operations run before training, in evaluation and in the exported model, so a served model
takes data as it is stored. Random changes of training examples are augmentation, not this.
"""

from pipeline.data.preprocess.chain import Chain, Preprocessing
from pipeline.data.preprocess.images import Resize
from pipeline.data.preprocess.numbers import Scale, Standardize
from pipeline.data.preprocess.shapes import Pad, Reshape
from pipeline.data.preprocess.step import Batches, Inputs, Step
from pipeline.data.preprocess.tables import Columns, MultiHot, OneHot
from pipeline.data.preprocess.text import Tokens

__all__ = [
    "Batches",
    "Chain",
    "Columns",
    "Inputs",
    "MultiHot",
    "OneHot",
    "Pad",
    "Preprocessing",
    "Reshape",
    "Resize",
    "Scale",
    "Standardize",
    "Step",
    "Tokens",
]
