"""This project's own TFDS builders. Importing the package registers every one of them."""

from pipeline.data.builders.digits import Digits
from pipeline.data.builders.synthetic import Synthetic

__all__ = ["Digits", "Synthetic"]
