"""Watches the guards of a job's ranks: which rank has ended, in which order, and how.

What follows from an end is decided in supervise.py; how one rank is run and ended is guard.py.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from ringsync.launch.codes import SOFTWARE_ERROR
from ringsync.launch.descendants import ProcessEnd, await_end, children_of, kill_children
from ringsync.launch.guard import KILL_LIMIT_S
from ringsync.launch.link import Message
from ringsync.launch.outcome import RankRecord
from ringsync.launch.spawn import GuardProcess

# A guard that is silent for so long after its rank's end is stopped or stuck: it tells of it within
# 3 ms, 80 with 40 busy ranks on 2 cores. To be hasty would end a good job on a host under load, to
# be slow costs time only where a guard has failed.
REPORT_LIMIT_S = 5.0


class Judge(Protocol):
    """Who is told, and draws the conclusions."""

    @property
    def is_ending(self) -> bool:
        """Whether all ranks have been asked to end."""

    def on_started(self, record: RankRecord) -> None:
        """A rank runs."""

    def on_unstarted(self, record: RankRecord, reason: str) -> None:
        """A rank's program could not be executed."""

    def on_ended(self, record: RankRecord, end: ProcessEnd) -> None:
        """A rank has ended; told in the order of the ends."""

    def on_guard_lost(self, detail: str, status: int) -> None:
        """A rank is not watched any more; `status` is what the launcher's exit code should be."""


@dataclass(slots=True)  # not frozen: its fields follow the guard's reports
class GuardedRank:
    """One rank while the job runs, and its guard."""

    guard: GuardProcess
    record: RankRecord
    is_over: bool = False  # nothing of the rank lives any more, as its guard has reported
    is_closed: bool = False  # the guard has ended
    is_late: bool = False  # the guard was killed because its report did not come
    late_at_s: float | None = None  # when its next report is late; None while none is due
    pidfd: int = -1  # of the rank, while its end was not seen
    left: tuple[int, ...] = ()


class Ranks:
    """All ranks of one job; selector entries carry a function without arguments to call."""

    def __init__(self, selector: selectors.BaseSelector, judge: Judge, grace_s: float) -> None:
        """Watch nothing yet.

        Args:
            selector: Of the owner, who calls what an entry carries when it is ready.
            judge: Is told of what happens.
            grace_s: What each guard gives the processes that its rank has left.
        """
        self._selector = selector
        self._judge = judge
        self._grace_s = grace_s
        self._ranks: list[GuardedRank] = []
        self._ended: deque[GuardedRank] = deque()  # in the order of their ends, not judged yet
        self._spared = children_of()  # a shell may have become this process by exec, and left some
        self._swept: dict[int, ProcessEnd] = {}  # what lost guards have left

    def add(self, guard: GuardProcess) -> None:
        """Watch one more rank, the next in order."""
        rank = GuardedRank(guard, RankRecord(len(self._ranks)))
        self._ranks.append(rank)
        self._selector.register(guard.link, selectors.EVENT_READ, partial(self._on_link, rank))

    @property
    def records(self) -> tuple[RankRecord, ...]:
        """What is known of each, in rank order."""
        return tuple(rank.record for rank in self._ranks)

    @property
    def is_over(self) -> bool:
        """Whether every rank and every guard has ended."""
        return all(rank.is_closed and rank.pidfd < 0 for rank in self._ranks)

    @property
    def late_at_s(self) -> float | None:
        """When the next guard is late, or None; see `kill_late`."""
        times = (rank.late_at_s for rank in self._ranks)
        return min((at_s for at_s in times if at_s is not None), default=None)

    def order(self, kind: str, **facts: object) -> None:
        """Give all guards an order."""
        for rank in self._open():
            rank.guard.link.send(Message(kind, facts))

    def kill_late(self) -> None:
        """Kill the guards that are late; what becomes of their ranks is seen when they have ended.

        One that is stopped or stuck would else hide for ever how its rank ended, and with it how
        all later ones did.
        """
        for rank in self._ranks:
            if rank.late_at_s is not None and time.monotonic() >= rank.late_at_s:
                rank.late_at_s = None
                rank.is_late = True
                os.kill(rank.guard.pid, signal.SIGKILL)

    def kill_guards(self, is_sparing_over: bool) -> None:
        """Kill the guards that still run.

        Args:
            is_sparing_over: Leave those alone that only have output to hand on.
        """
        for rank in self._open():
            if not (is_sparing_over and rank.is_over):
                os.kill(rank.guard.pid, signal.SIGKILL)

    def kill_rest(self) -> list[int]:
        """Kill all that is left of the job, and name what outlives that."""
        sweep = kill_children(time.monotonic() + KILL_LIMIT_S, self._spared)
        return sorted(sweep.left.union(*(rank.left for rank in self._ranks)))

    def _on_link(self, rank: GuardedRank) -> None:
        for message in rank.guard.link.receive():
            self._on_report(rank, message)
        if not rank.guard.link.is_open:
            self._on_guard_end(rank)

    def _on_report(self, rank: GuardedRank, message: Message) -> None:
        facts, record = message.facts, rank.record
        if message.kind == "started":
            self._on_started(rank, message)
        elif message.kind == "ended":
            record.end = ProcessEnd(facts["code"], facts["signal"])
            record.ended_s = facts["ended_s"]
            record.stderr, record.exception = facts["stderr"], facts["exception"]
            record.is_final = facts["is_final"]
            self._await_report(rank)
            self._judge_ends()
        elif message.kind == "over":
            rank.is_over, rank.left = True, tuple(facts["left"])
            self._await_report(rank)
        elif message.kind == "unstarted":
            rank.is_over = True
            self._judge.on_unstarted(record, facts["reason"])

    def _on_started(self, rank: GuardedRank, message: Message) -> None:
        record = rank.record
        record.pid, record.started_s = message.facts["pid"], message.facts["started_s"]
        if message.descriptor is None:  # the kernel drops one for which there is no room
            record.is_stopped = True
            detail = f"no descriptor is left to watch rank {record.rank} with"
            self._judge.on_guard_lost(detail, SOFTWARE_ERROR)
            return
        # epoll reports in order of arrival, so of two deaths the earlier is noted first.
        rank.pidfd = message.descriptor
        on_end = partial(self._on_rank_end, rank)
        self._selector.register(rank.pidfd, selectors.EVENT_READ, on_end)
        self._judge.on_started(record)

    def _on_rank_end(self, rank: GuardedRank) -> None:
        if rank.pidfd < 0:  # forgotten in this very turn
            return
        self._forget_pidfd(rank)
        rank.record.is_stopped = self._judge.is_ending
        self._ended.append(rank)
        self._await_report(rank)
        self._judge_ends()

    def _await_report(self, rank: GuardedRank) -> None:
        """Settle when the guard of a rank that has ended is late: with its end, then with all."""
        rank.late_at_s = None
        if not rank.is_over and not rank.is_closed:
            own_s = 0.0 if rank.record.end is None else self._grace_s + KILL_LIMIT_S
            rank.late_at_s = time.monotonic() + own_s + REPORT_LIMIT_S

    def _forget_pidfd(self, rank: GuardedRank) -> None:
        self._selector.unregister(rank.pidfd)
        os.close(rank.pidfd)
        rank.pidfd = -1

    def _judge_ends(self) -> None:
        """Look at the ranks in the order of their ends, as far as their guards have told how."""
        while self._ended and self._ended[0].record.end is not None:
            record = self._ended.popleft().record
            self._judge.on_ended(record, cast(ProcessEnd, record.end))

    def _on_guard_end(self, rank: GuardedRank) -> None:
        self._selector.unregister(rank.guard.link)
        rank.guard.link.close()
        end = await_end(rank.guard.pid)
        rank.is_closed = True
        rank.late_at_s = None
        if not rank.is_over:
            self._on_guard_lost(rank, end)
        if rank.record.end is None:
            if rank.pidfd >= 0:  # it has outlived SIGKILL
                self._forget_pidfd(rank)
            # What is not known is no success. This counts only where the job was to go on.
            detail = f"{_who(rank)} ended without a word of how its rank did"
            self._judge.on_guard_lost(detail, SOFTWARE_ERROR)

    def _on_guard_lost(self, rank: GuardedRank, end: ProcessEnd) -> None:
        """Do its work: its rank is being killed by the kernel, and all it had adopted is ours."""
        record = rank.record
        self._swept |= self._sweep(rank)  # of other lost guards, too
        record.end = record.end or self._swept.get(record.pid)
        record.ended_s = record.ended_s or time.time()
        if rank.is_late:
            self._judge_ends()  # the ranks that have ended since are told by their own guards
            self._judge.on_guard_lost(f"{_who(rank)} did not report in time", SOFTWARE_ERROR)
        else:
            status = SOFTWARE_ERROR if end.code is not None else end.status
            self._judge.on_guard_lost(f"{_who(rank)} {end.describe()}", status)
        self._judge_ends()

    def _sweep(self, rank: GuardedRank) -> dict[int, ProcessEnd]:
        guards = {other.guard.pid for other in self._open()}
        sweep = kill_children(time.monotonic() + KILL_LIMIT_S, self._spared | guards)
        rank.left = tuple(sweep.left)
        return sweep.ended

    def _open(self) -> Iterator[GuardedRank]:
        return (rank for rank in self._ranks if not rank.is_closed)


def _who(rank: GuardedRank) -> str:
    return f"the guard of rank {rank.record.rank} (pid {rank.guard.pid})"
