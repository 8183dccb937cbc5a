"""Horovod's elastic sampler."""

from ringsync.torch.elastic.sampler import *
