"""Horovod's optimizer."""

from ringsync.torch.optimizer import *
