"""Ready-made networks.

Not layers (nn) and not trained: each is a function that draws a network from a seed.
"""

from ringsync.models.lenet import lenet
from ringsync.models.mlp import mlp

__all__ = ["lenet", "mlp"]
