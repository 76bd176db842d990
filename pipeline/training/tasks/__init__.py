"""What a model is asked to do: the loss, what is measured, and what it then answers."""

from pipeline.training.tasks.base import DataSpec, Task
from pipeline.training.tasks.classification import Classification
from pipeline.training.tasks.language_model import LanguageModel
from pipeline.training.tasks.multi_label import MultiLabel
from pipeline.training.tasks.reconstruction import Reconstruction
from pipeline.training.tasks.regression import Regression

__all__ = [
    "Classification",
    "DataSpec",
    "LanguageModel",
    "MultiLabel",
    "Reconstruction",
    "Regression",
    "Task",
]
