"""A function as a job: `run` hands it to ranks from a script or a notebook and brings results back.

The ranks themselves are started and ended by the launcher, in a process of its own.
"""

from ringsync.jobs.running import run

__all__ = ["run"]
