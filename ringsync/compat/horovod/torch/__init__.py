"""Horovod's door for PyTorch: the very objects of `ringsync.torch`."""

from ringsync.torch import *
from ringsync.torch import __all__

from . import mpi_ops
