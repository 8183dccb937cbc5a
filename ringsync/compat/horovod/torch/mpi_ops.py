"""Horovod's collectives and basics, and what other libraries take from beneath them."""

import functools

from ringsync.torch import *
from ringsync.torch.asking import checked_op

from ..common.basics import HorovodBasics

_basics = HorovodBasics()

handle_average_backwards_compatibility = functools.partial(checked_op, "allreduce")
