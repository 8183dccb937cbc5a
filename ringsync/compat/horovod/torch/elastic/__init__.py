"""Horovod's elastic training."""

from ringsync.torch.elastic import *

from . import sampler, state
