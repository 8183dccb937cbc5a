"""What a wrapped optimizer tells the timeline of a step: forward, backward and update."""

from __future__ import annotations

import time

from ringsync.timeline import mark


class StepMarks:
    """When the phase under way began; each is marked when it ends."""

    def __init__(self) -> None:
        """Begin with a forward pass."""
        self._idle_since_ns = self._began_ns = self._update_ns = time.monotonic_ns()

    def idle(self) -> None:
        """Take note that what follows is a forward pass."""
        self._idle_since_ns = time.monotonic_ns()

    def backward_began(self) -> None:
        """Take note of a backward pass."""
        self._began_ns = time.monotonic_ns()

    def backward_ended(self) -> None:
        """Mark it, and the forward pass before it."""
        mark("forward", self._idle_since_ns, self._began_ns)
        mark("backward", self._began_ns)

    def update_began(self) -> None:
        """Take note of an update; of several, of the last one."""
        self._update_ns = time.monotonic_ns()

    def update_ended(self) -> None:
        """Mark it."""
        mark("step", self._update_ns)
