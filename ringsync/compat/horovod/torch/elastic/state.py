"""Horovod's elastic state of models and optimizers."""

from ringsync.torch.elastic.state import *
