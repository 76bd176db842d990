"""This project's own TFDS builders. Importing the package registers every one of them."""

from pipeline.data.builders.digits import Digits
from pipeline.data.builders.sunspots import Sunspots
from pipeline.data.builders.synthetic import Synthetic
from pipeline.data.builders.tables import BreastCancer, Diabetes, Wine
from pipeline.data.builders.text import PythonReference, TextFile

__all__ = [
    "BreastCancer",
    "Diabetes",
    "Digits",
    "PythonReference",
    "Sunspots",
    "Synthetic",
    "TextFile",
    "Wine",
]
