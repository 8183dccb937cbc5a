"""Optimizers: from gradients to parameters.

Not where gradients come from (autograd) or are shared between processes.
"""

from ringsync.optim.optimizer import Optimizer
from ringsync.optim.sgd import SGD

__all__ = ["SGD", "Optimizer"]
