"""Horovod's exchange of objects, parameters and optimizer state."""

from ringsync.torch.functions import *
