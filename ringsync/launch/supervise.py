"""Runs one job: starts a guard per rank, decides when and why the job ends, reports how.

One thread, one selector; it sleeps until a guard reports, an output comes, or a signal. Starting a
rank, owning its output and ending what it started is guard.py; what is said at the end, outcome.py.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import cast

from ringsync.errors import ConfigError
from ringsync.launch.descendants import (
    ProcessEnd,
    adopt_orphans,
    await_end,
    children_of,
    kill_children,
    signal_name,
)
from ringsync.launch.guard import KILL_LIMIT_S
from ringsync.launch.job import Job
from ringsync.launch.link import Message
from ringsync.launch.outcome import (
    Cause,
    Ending,
    Outcome,
    RankRecord,
    last_words,
    summary_of,
    write_report,
    write_summary,
)
from ringsync.launch.output import OUTPUT_ERROR, READER_GONE, Stream
from ringsync.launch.placement import places
from ringsync.launch.relay import Relay
from ringsync.launch.signals import ASK_FOR_STACKS, SignalInbox
from ringsync.launch.spawn import GuardProcess, start_guard

_GUARD_LATE_S = 0.3  # what a guard may take beyond its own limits before it is killed itself
_SOFTWARE_ERROR = 70  # of sysexits.h


@dataclass(slots=True)
class GuardedRank:
    """One rank while the job runs, and its guard."""

    guard: GuardProcess
    record: RankRecord
    is_over: bool = False  # nothing of the rank lives any more, as its guard has reported
    is_closed: bool = False  # the guard has ended
    pidfd: int = -1  # of the rank, while its end was not seen
    left: tuple[int, ...] = ()


def supervise(job: Job, inbox: SignalInbox) -> int:
    """Run `job` to its end.

    Args:
        job: What to run.
        inbox: Where the launcher's own signals arrive.

    Returns:
        The launcher's exit code.

    Raises:
        ConfigError: The ranks' program cannot be executed, or there is no room for so many.
    """
    with selectors.DefaultSelector() as selector:
        return Supervisor(job, selector, inbox).run()


class Supervisor:
    """The state of one running job."""

    def __init__(self, job: Job, selector: selectors.BaseSelector, inbox: SignalInbox) -> None:
        """Prepare; no rank starts before `run`."""
        self._job = job
        self._selector = selector
        self._inbox = inbox
        self._relay = Relay(selector)
        self._ranks: list[GuardedRank] = []
        self._ended: deque[GuardedRank] = deque()  # in the order of their ends, not judged yet
        self._ending: Ending | None = None
        self._refusal: str | None = None  # why a rank could not be started
        self._spared = children_of()  # a shell may have become this process by exec, and left some
        self._swept: dict[int, ProcessEnd] = {}  # what lost guards have left
        self._is_flushing = False  # only output is left
        self._is_hurried = False  # nobody waits for that either
        self._stacks_at_s: float | None = None
        self._guards_late_at_s: float | None = None
        selector.register(inbox, selectors.EVENT_READ, self._on_signals)

    def run(self) -> int:
        """Start, watch, end, report; see `supervise`."""
        adopt_orphans()  # of a guard that is killed
        started_s = time.monotonic()
        if self._job.stacks_after_s is not None:
            self._stacks_at_s = started_s + self._job.stacks_after_s
        try:
            self._start_guards()
            while any(not rank.is_closed or rank.pidfd >= 0 for rank in self._ranks):
                self._turn()
        finally:
            sweep = kill_children(time.monotonic() + KILL_LIMIT_S, self._spared)
            self._relay.close_streams()
        if self._refusal is not None:
            raise ConfigError(self._refusal)
        left = sweep.left.union(*(rank.left for rank in self._ranks))
        if left:
            self._relay.tell(f"processes {sorted(left)} do not die; look at them with ps.")
        self._flush()
        try:
            return self._conclude(time.monotonic() - started_s)
        finally:
            self._relay.close()

    def _start_guards(self) -> None:
        for place in places(self._job.size):
            try:
                guard = start_guard(self._job, place)
            except OSError as error:
                raise ConfigError(
                    f"[ringsyncrun] the guard of rank {place.rank} of {place.size} could not "
                    f"start: {error}. Lower -np, or raise the limits that ulimit -n and -u show."
                ) from error
            rank = GuardedRank(guard, RankRecord(place.rank))
            self._ranks.append(rank)
            self._selector.register(guard.link, selectors.EVENT_READ, partial(self._on_link, rank))
            is_lines = self._job.is_tagged or self._job.size > 1
            for pipe, sink in (
                (guard.stdout, self._relay.stdout),
                (guard.stderr, self._relay.stderr),
            ):
                prefix = b"" if is_lines else None
                self._relay.attach(Stream(pipe, sink, prefix, is_guarded=True))

    def _turn(self) -> None:
        times = [self._stacks_at_s, self._guards_late_at_s]
        next_s = min((at_s for at_s in times if at_s is not None), default=None)
        wait_s = None if next_s is None else max(0.0, next_s - time.monotonic())
        for key, _ in self._selector.select(wait_s):
            key.data()
        self._relay.throttle()
        lost = self._output_loss()
        if lost is not None and self._ending is None:
            self._begin_ending(lost, signal.SIGTERM)
        if self._stacks_at_s is not None and time.monotonic() >= self._stacks_at_s:
            self._stacks_at_s = None
            self._order("stacks")
        if self._guards_late_at_s is not None and time.monotonic() >= self._guards_late_at_s:
            self._guards_late_at_s = None
            for rank in self._ranks:
                if not rank.is_over and not rank.is_closed:
                    os.kill(rank.guard.pid, signal.SIGKILL)

    def _order(self, kind: str, **facts: object) -> None:
        for rank in self._ranks:
            if not rank.is_closed:
                rank.guard.link.send(Message(kind, facts))

    def _on_signals(self) -> None:
        for number in self._inbox.take():
            if number == signal.SIGCHLD:
                continue  # of a guard, whose link tells of it
            if number in ASK_FOR_STACKS:
                self._order("stacks")
            elif self._is_flushing or (self._ending and number == signal.SIGINT):
                self._is_hurried = True
                self._guards_late_at_s = time.monotonic() + KILL_LIMIT_S + _GUARD_LATE_S
                self._order("kill")
            elif self._ending is None:
                passed_on = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
                ending = Ending(Cause.INTERRUPTED, 128 + number, signal_name(number))
                self._begin_ending(ending, passed_on)

    def _on_link(self, rank: GuardedRank) -> None:
        for message in rank.guard.link.receive():
            self._on_report(rank, message)
        if not rank.guard.link.is_open:
            self._on_guard_end(rank)

    def _on_report(self, rank: GuardedRank, message: Message) -> None:
        facts, record = message.facts, rank.record
        if message.kind == "started":
            record.pid, record.started = facts["pid"], facts["started"]
            # epoll reports in order of arrival, so of two deaths the earlier is noted first.
            rank.pidfd = cast(int, message.descriptor)
            on_end = partial(self._on_rank_end, rank)
            self._selector.register(rank.pidfd, selectors.EVENT_READ, on_end)
            if self._job.is_verbose:
                words = shlex.join(self._job.command)
                self._relay.tell(f"rank {record.rank} is pid {record.pid}: {words}")
        elif message.kind == "ended":
            record.end = ProcessEnd(facts["code"], facts["signal"])
            record.ended = facts["ended"]
            record.stderr, record.exception = facts["stderr"], facts["exception"]
            self._judge()
        elif message.kind == "over":
            rank.is_over, rank.left = True, tuple(facts["left"])
        elif message.kind == "unstarted":
            rank.is_over = True
            self._on_unstarted(rank, facts["reason"])

    def _on_unstarted(self, rank: GuardedRank, reason: str) -> None:
        if self._refusal is None:
            self._refusal = (
                f"[ringsyncrun] rank {rank.record.rank} of {self._job.size} could not start "
                f"{self._job.command[0]!r}: {reason}. Run that command by itself."
            )
        if self._ending is None:
            self._begin_ending(Ending(Cause.UNSTARTED, _SOFTWARE_ERROR), signal.SIGTERM)

    def _on_rank_end(self, rank: GuardedRank) -> None:
        if rank.pidfd < 0:  # forgotten in this very turn
            return
        self._forget_pidfd(rank)
        rank.record.is_stopped = self._ending is not None
        self._ended.append(rank)
        self._judge()

    def _forget_pidfd(self, rank: GuardedRank) -> None:
        self._selector.unregister(rank.pidfd)
        os.close(rank.pidfd)
        rank.pidfd = -1

    def _judge(self) -> None:
        """Look at the ranks in the order of their ends, as far as their guards have told how."""
        while self._ended and self._ended[0].record.end is not None:
            record = self._ended.popleft().record
            end = cast(ProcessEnd, record.end)
            if self._job.is_verbose:
                self._relay.tell(f"rank {record.rank} (pid {record.pid}) {end.describe()}")
            if self._ending is None and end.status != 0:
                self._on_first_failure(record, end)

    def _on_first_failure(self, record: RankRecord, end: ProcessEnd) -> None:
        alive = sum(other.record.end is None for other in self._ranks)
        if alive and self._job.report is None:
            self._relay.tell(
                f"rank {record.rank} of {self._job.size} {end.describe()}; ending the other "
                f"{alive} (SIGTERM now, SIGKILL after {self._job.grace_s:g} s)"
            )
        status = record.exit_code()
        first = Ending(Cause.RANK_FAILED, status, first_rank=record.rank)
        self._begin_ending(first, signal.SIGTERM)

    def _on_guard_end(self, rank: GuardedRank) -> None:
        self._selector.unregister(rank.guard.link)
        rank.guard.link.close()
        end = await_end(rank.guard.pid)
        rank.is_closed = True
        if not rank.is_over:
            self._on_guard_lost(rank, end)
        if rank.record.end is None and rank.pidfd >= 0:  # it has outlived SIGKILL
            self._forget_pidfd(rank)

    def _on_guard_lost(self, rank: GuardedRank, end: ProcessEnd) -> None:
        """Do its work: its rank is being killed by the kernel, and all it had adopted is ours."""
        record = rank.record
        guards = {other.guard.pid for other in self._ranks if not other.is_closed}
        sweep = kill_children(time.monotonic() + KILL_LIMIT_S, self._spared | guards)
        self._swept |= sweep.ended  # of other lost guards, too
        record.end = record.end or self._swept.get(record.pid)
        record.ended = record.ended or time.time()
        rank.left = tuple(sweep.left)
        if self._ending is None:
            detail = f"the guard of rank {record.rank} (pid {rank.guard.pid}) {end.describe()}"
            status = _SOFTWARE_ERROR if end.code is not None else end.status
            self._begin_ending(Ending(Cause.GUARD_LOST, status, detail), signal.SIGTERM)
        self._judge()

    def _begin_ending(self, ending: Ending, number: int) -> None:
        self._ending = ending
        limit_s = self._job.grace_s + KILL_LIMIT_S + _GUARD_LATE_S
        self._guards_late_at_s = time.monotonic() + limit_s
        self._order("end", signal=int(number))

    def _output_loss(self) -> Ending | None:
        error = self._relay.error
        if error is None:
            return None
        status = READER_GONE if isinstance(error, BrokenPipeError) else OUTPUT_ERROR
        return Ending(Cause.OUTPUT_CLOSED, status, error.strerror or "")

    def _flush(self) -> None:
        """Wait for the launcher's own reader, as long as it takes; a signal gives up."""
        self._is_flushing = True
        while self._relay.backlog_bytes:
            ready = self._selector.select(0 if self._is_hurried else None)
            if not ready:
                return
            for key, _ in ready:
                key.data()

    def _conclude(self, duration_s: float) -> int:
        """Say and write how the job ended; its exit code."""
        ending = self._ending or self._output_loss() or Ending(Cause.SUCCESS, 0)
        outcome = Outcome(ending, duration_s, tuple(rank.record for rank in self._ranks))
        summary = summary_of(self._job, outcome)
        if self._job.report is not None:
            write_report(self._job.report, summary)
        else:
            for line in last_words(self._job, outcome):
                self._relay.tell(line)
        if self._job.log_dir is not None:
            try:
                write_summary(self._job.log_dir, summary)
            except OSError as error:
                self._relay.tell(f"summary.json is missing: {error}.")
        self._flush()
        return ending.status
