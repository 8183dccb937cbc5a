"""Horovod's compressors."""

from ringsync.torch.compression import *
