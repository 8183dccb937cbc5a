"""Horovod's collectives and basics, and what other libraries take from beneath them."""

from ringsync.torch import *
from ringsync.torch.asking import checked_op as handle_average_backwards_compatibility

from ..common.basics import HorovodBasics

_basics = HorovodBasics()
