"""Horovod's name for ringsync, in jobs of `ringsyncrun --horovod` alone.

The modules below have Horovod's names and hand on what ringsync's rooms hold; they do nothing
themselves. They name one another relatively, because they are found under either name.
"""

from .runner import run

# Scripts compare it. It is the version whose interface this is, not ringsync's own.
__version__ = "0.28.1"

__all__ = ["__version__", "run"]
