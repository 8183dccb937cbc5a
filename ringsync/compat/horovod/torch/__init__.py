"""Horovod's door for PyTorch: the very objects of `ringsync.torch`."""

from ringsync.torch import *
from ringsync.torch import __all__

from . import compression, functions, mpi_ops, optimizer, sync_batch_norm

# `elastic` is an attribute already, ringsync's, so that only one of its modules brings this one's.
from .elastic import state as _
