"""Data sets and batches.

Not layers or training; a shard is a number, nothing here knows who takes it.
"""

from ringsync.data.dataset import Dataset
from ringsync.data.loaders import digits, load, mnist5k
from ringsync.data.synthetic import synthetic

__all__ = ["Dataset", "digits", "load", "mnist5k", "synthetic"]
