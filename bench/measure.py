"""How calls are timed on a rank: together with the others, or back to back.

What is called, and what becomes of the times, is the caller's matter.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Protocol

Action = Callable[[], object]


class Barrier(Protocol):
    """Where ranks meet."""

    def wait(self) -> None:
        """Return once every rank has called this as often."""
        ...


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's garbage collector out of what is timed; within another pause do nothing.

    Yields:
        Nothing.
    """
    if not gc.isenabled():
        yield
        return
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def time_together(call: Action, prepare: Action, barrier: Barrier, count: int) -> list[int]:
    """Time calls that all ranks begin at once.

    Args:
        call: What is timed.
        prepare: Done before each call, not timed.
        barrier: Where ranks meet before each call.
        count: Number of calls.

    Returns:
        Nanoseconds of each call on this rank.
    """
    times_ns = []
    with collector_paused():
        for _ in range(count):
            prepare()
            barrier.wait()
            start_ns = perf_counter_ns()
            call()
            times_ns.append(perf_counter_ns() - start_ns)
    return times_ns


def time_back_to_back(call: Action, barrier: Barrier, count: int) -> tuple[list[int], int]:
    """Time calls that follow each other at once, as a program that does nothing else would make.

    Args:
        call: What is timed.
        barrier: Where ranks meet once, before the first call.
        count: Number of calls.

    Returns:
        Nanoseconds of each call on this rank, and of them all together.
    """
    times_ns = []
    with collector_paused():
        barrier.wait()
        begin_ns = before_ns = perf_counter_ns()
        for _ in range(count):
            call()
            now_ns = perf_counter_ns()
            times_ns.append(now_ns - before_ns)
            before_ns = now_ns
    return times_ns, before_ns - begin_ns


def time_loop(call: Action, barrier: Barrier, count: int) -> int:
    """Time calls that follow each other at once, without looking at the clock in between.

    Args:
        call: What is timed.
        barrier: Where ranks meet once, before the first call.
        count: Number of calls.

    Returns:
        Nanoseconds of all calls together on this rank.
    """
    with collector_paused():
        barrier.wait()
        start_ns = perf_counter_ns()
        for _ in range(count):
            call()
        return perf_counter_ns() - start_ns


def choose_count(times_s: list[float], budget_s: float, least: int, most: int) -> int:
    """Choose how many iterations fit into a time.

    Args:
        times_s: Of some iterations; equal on all ranks, so that they choose alike.
        budget_s: The time.
        least: At least so many, however long they take.
        most: At most so many.

    Returns:
        The number.
    """
    return max(least, min(most, int(budget_s / max(statistics.median(times_s), 1e-9))))


def split_count(count: int, blocks: int) -> list[int]:
    """Cut iterations into blocks, so that several cases can take turns.

    Args:
        count: Number of iterations.
        blocks: Number of blocks wanted.

    Returns:
        Sizes of the blocks, none zero; they differ by one at most.
    """
    each, more = divmod(count, blocks)
    return [size for i in range(blocks) if (size := each + (i < more))]
