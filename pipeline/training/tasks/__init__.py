"""What a model is asked to do. One class a task; these are the ``task=…`` of a config."""

from pipeline.training.tasks.base import DataSpec, Task
from pipeline.training.tasks.classification import Classification

__all__ = ["Classification", "DataSpec", "Task"]
