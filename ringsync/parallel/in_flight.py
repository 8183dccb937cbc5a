"""The buckets of one step that have been submitted: waited for, and asked what they cost.

Which they are, and when they are submitted, is the reducer's matter.
"""

from __future__ import annotations

import time

from ringsync.collectives import ReduceOp
from ringsync.collectives.call import Terms, start
from ringsync.group import ProcessGroup
from ringsync.handle import Handle, wait_all
from ringsync.kinds import Collective
from ringsync.parallel.arena import Bucket
from ringsync.parallel.updates import UpdateCount
from ringsync.timeline import mark


class InFlight:
    """Buckets in the order of their submission, which is one on all ranks.

    Attributes:
        handles: Of their calls.
    """

    def __init__(self, op: ReduceOp, updates: UpdateCount, group: ProcessGroup | None) -> None:
        """Begin with none.

        Args:
            op: How values of several ranks become one.
            updates: That ranks have made before, and compare.
            group: Whose ranks exchange them; None: all.
        """
        self._op = op
        self._updates = updates
        self._group = group
        self._terms: Terms | None = None
        self._buckets: list[Bucket] = []
        self.handles: list[Handle] = []

    def begin(self) -> Terms:
        """Fix which step it is; no earlier, for ranks may be made alike between two steps.

        Nor later: a state may be loaded before a step that an error has interrupted is ended.

        Returns:
            What all buckets are reduced by.
        """
        if self._terms is None:
            self._terms = Terms(op=self._op, step=self._updates.begin())
        return self._terms

    def submit(self, bucket: Bucket) -> None:
        """Start a bucket's allreduce.

        Args:
            bucket: All that goes into it is there, or has been given to the device.

        Raises:
            RingsyncError: It cannot be started.
        """
        start_ns = time.monotonic_ns()
        terms = self.begin()
        memory = bucket.space.argument(bucket.memory)
        call = ("allreduce_async_", Collective.ALLREDUCE, memory, bucket.name, None)
        self.handles.append(start(*call, terms, self._group))
        self._buckets.append(bucket)
        mark("submit", start_ns, None, bucket.name, bucket.memory.nbytes)

    def wait(self) -> None:
        """Wait for all; of what lies on a device, no longer than for the other ranks' calls.

        What its space is given from then on comes behind the exchange.

        Raises:
            RingsyncError: The first failure so far.
        """
        start_ns = time.monotonic_ns()
        wait_all(self.handles, [bucket.space.stream() for bucket in self._buckets])
        mark("wait", start_ns)
