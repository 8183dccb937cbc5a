"""Horovod's elastic training."""

from ringsync.torch.elastic import *
