"""Runs one job: starts its ranks, carries their output, and ends them together.

One thread, one selector; it sleeps until a rank ends, writes, or a signal comes. How processes
are found and killed is in descendants.py, what is said at the end in outcome.py.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from ringsync.errors import ConfigError
from ringsync.launch.descendants import (
    ProcessEnd,
    children_of,
    descendants,
    group_of,
    kill_children,
    reap,
    send_signal,
    send_signal_to_groups,
    signal_name,
)
from ringsync.launch.guard import Watched
from ringsync.launch.job import Job
from ringsync.launch.outcome import (
    Cause,
    Outcome,
    RankRecord,
    last_words,
    summary_of,
    write_report,
    write_summary,
)
from ringsync.launch.output import OUTPUT_ERROR, READER_GONE, Stream, open_log
from ringsync.launch.placement import Place, places
from ringsync.launch.relay import Relay
from ringsync.launch.spawn import start_rank

_READ_BYTES = 4096  # one byte per signal
_KILL_LIMIT_S = 1.5  # with the default grace of 3 s all is over within 5 s of the first failure


@dataclass(slots=True)
class RankProcess:
    """One rank while the job runs."""

    place: Place
    process: subprocess.Popen[bytes]
    pidfd: int
    streams: tuple[Stream, Stream]
    started_s: float
    ended_s: float = 0.0
    end: ProcessEnd | None = None
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the job is being ended, from the first reason on; later ones change nothing."""

    cause: Cause
    status: int
    detail: str = ""
    first_rank: int | None = None


def supervise(job: Job, watched: Watched, guard_fd: int) -> int:
    """Run `job` to its end in this process, which must have one thread and adopt orphans.

    Args:
        job: What to run.
        watched: Signals to heed; blocked on entry, unblocked here.
        guard_fd: pidfd of the guard; when it dies, everything is killed at once.

    Returns:
        The launcher's exit code.
    """
    with selectors.DefaultSelector() as selector:
        return Supervisor(job, selector, guard_fd).run(watched)


class Supervisor:
    """The state of one running job."""

    def __init__(self, job: Job, selector: selectors.BaseSelector, guard_fd: int) -> None:
        """Prepare; no rank starts before `run`."""
        self._job = job
        self._selector = selector
        self._relay = Relay(selector)
        self._ranks: list[RankProcess] = []
        self._ending: Ending | None = None
        self._kill_at_s: float | None = None
        self._asked: set[int] = set()  # whom SIGTERM or SIGINT was sent
        self._guard_fd = guard_fd
        self._waker, self._wakeup = socket.socketpair()
        self._waker.setblocking(False)
        self._wakeup.setblocking(False)
        selector.register(self._waker, selectors.EVENT_READ, self._on_signals)
        selector.register(guard_fd, selectors.EVENT_READ, self._on_guard_dead)

    def run(self, watched: Watched) -> int:
        """Start, watch, end, report; see `supervise`."""
        self._heed(watched)
        started_s = time.monotonic()
        try:
            self._start_ranks()
            while self._is_busy():
                self._turn()
        finally:
            left = self._kill_rest()
        if left:
            self._relay.tell(f"processes {sorted(left)} do not die; look at them with ps.")
        self._flush()
        outcome = self._outcome(time.monotonic() - started_s)
        self._report(outcome)
        self._flush()
        return outcome.status

    def _report(self, outcome: Outcome) -> None:
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

    def _heed(self, watched: Watched) -> None:
        for number in watched:
            signal.signal(number, lambda *_: None)  # the number arrives through the wakeup socket
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)

    def _start_ranks(self) -> None:
        for place in places(self._job.size):
            try:
                process = start_rank(self._job, place)
            except (OSError, subprocess.SubprocessError) as error:
                raise ConfigError(
                    f"[ringsyncrun] rank {place.rank} of {place.size} could not start "
                    f"{self._job.command[0]!r}: {error}. Run that command by itself."
                ) from error
            rank = RankProcess(
                place,
                process,
                os.pidfd_open(process.pid),
                self._attach(process, place),
                time.monotonic(),
            )
            self._ranks.append(rank)
            # epoll reports in order of arrival, so of two deaths the earlier is handled first.
            self._selector.register(rank.pidfd, selectors.EVENT_READ, partial(self._on_end, rank))
            if self._job.is_verbose:
                words = shlex.join(self._job.command)
                self._relay.tell(f"rank {place.rank} is pid {process.pid}: {words}")

    def _attach(self, process: subprocess.Popen[bytes], place: Place) -> tuple[Stream, Stream]:
        directory = self._job.rank_log_dir(place.rank)
        prefix = f"[{place.rank}] ".encode() if self._job.is_tagged else b""
        # One rank's bytes pass as they come; several ranks must not cut into each other's lines.
        is_whole_lines = self._job.is_tagged or self._job.size > 1
        return (
            self._relay.attach(
                cast(BinaryIO, process.stdout),
                1,
                prefix if is_whole_lines else None,
                open_log(directory, "stdout"),
            ),
            self._relay.attach(
                cast(BinaryIO, process.stderr),
                2,
                prefix if is_whole_lines else None,
                open_log(directory, "stderr"),
            ),
        )

    def _is_busy(self) -> bool:
        if any(rank.end is None for rank in self._ranks):
            return self._kill_at_s is None or time.monotonic() < self._kill_at_s
        if self._ending is None:
            self._begin_ending(Ending(Cause.SUCCESS, 0), signal.SIGTERM)
        self._reap_strays()
        return bool(children_of()) and time.monotonic() < cast(float, self._kill_at_s)

    def _turn(self) -> None:
        wait_s = None if self._kill_at_s is None else max(0.0, self._kill_at_s - time.monotonic())
        for key, _ in self._selector.select(wait_s):
            key.data()
        self._relay.throttle()
        lost = self._output_loss()
        if lost is not None and self._ending is None:
            self._begin_ending(lost, signal.SIGTERM)

    def _output_loss(self) -> Ending | None:
        error = self._relay.error
        if error is None:
            return None
        status = READER_GONE if isinstance(error, BrokenPipeError) else OUTPUT_ERROR
        return Ending(Cause.OUTPUT_CLOSED, status, error.strerror or "")

    def _on_end(self, rank: RankProcess) -> None:
        end = reap(rank.process.pid)
        if end is None:
            return
        self._record_end(rank, end)
        if self._job.is_verbose:
            self._relay.tell(f"rank {rank.place.rank} (pid {rank.process.pid}) {end.describe()}")
        if self._ending is None and end.status != 0:
            alive = sum(other.end is None for other in self._ranks)
            if alive and self._job.report is None:
                self._relay.tell(
                    f"rank {rank.place.rank} of {self._job.size} {end.describe()}; ending the "
                    f"other {alive} (SIGTERM now, SIGKILL after {self._job.grace_s:g} s)"
                )
            first = Ending(Cause.RANK_FAILED, end.status, first_rank=rank.place.rank)
            self._begin_ending(first, signal.SIGTERM)

    def _on_signals(self) -> None:
        for number in self._waker.recv(_READ_BYTES):
            if number == signal.SIGCHLD:
                self._reap_strays()
            elif self._ending is None:
                passed_on = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
                ending = Ending(Cause.INTERRUPTED, 128 + number, signal_name(number))
                self._begin_ending(ending, passed_on)
            elif number == signal.SIGINT or self._kill_at_s is None:
                self._kill_at_s = time.monotonic()

    def _on_guard_dead(self) -> None:
        self._selector.unregister(self._guard_fd)
        if self._ending is None:
            self._ending = Ending(Cause.LAUNCHER_KILLED, 128 + signal.SIGKILL)
        self._kill_at_s = time.monotonic()

    def _begin_ending(self, ending: Ending, number: int) -> None:
        """Ask every process to end; `_is_busy` turns False when they have or the grace is over."""
        self._ending = ending
        self._kill_at_s = time.monotonic() + self._job.grace_s
        groups = {rank.process.pid for rank in self._ranks if rank.end is None}
        send_signal_to_groups(groups, number)
        send_signal_to_groups(groups, signal.SIGCONT)  # a stopped process cannot obey
        self._asked.update(descendants())
        send_signal((pid for pid in self._asked if group_of(pid) not in groups), number)

    def _reap_strays(self) -> None:
        ranks = {rank.process.pid for rank in self._ranks if rank.end is None}
        for pid in children_of() - ranks:
            is_new = reap(pid) is None and pid not in self._asked
            if is_new and self._ending is not None:  # born while the others were being asked
                self._asked.add(pid)
                send_signal([pid], signal.SIGTERM)

    def _record_end(self, rank: RankProcess, end: ProcessEnd) -> None:
        rank.end = end
        rank.ended_s = time.monotonic()
        rank.is_stopped = self._ending is not None
        rank.process.returncode = end.status  # reaped here; Popen must not wait for it again
        self._selector.unregister(rank.pidfd)
        os.close(rank.pidfd)
        for stream in rank.streams:
            stream.drain()

    def _kill_rest(self) -> frozenset[int]:
        """Kill what is left, take the ranks' last output, and say who outlived SIGKILL."""
        alive = [rank for rank in self._ranks if rank.end is None]
        send_signal_to_groups((rank.process.pid for rank in alive), signal.SIGKILL)
        sweep = kill_children(time.monotonic() + _KILL_LIMIT_S)
        for rank in alive:
            if rank.process.pid in sweep.ended:
                self._record_end(rank, sweep.ended[rank.process.pid])
        self._relay.close_streams()
        return sweep.left

    def _flush(self) -> None:
        """Wait for the launcher's own reader, as long as it takes; a signal gives up."""
        self._kill_at_s = None
        while self._kill_at_s is None and self._relay.backlog_bytes:
            for key, _ in self._selector.select():
                key.data()

    def _outcome(self, duration_s: float) -> Outcome:
        ending = self._ending or Ending(Cause.SUCCESS, 0)
        lost = self._output_loss()
        if ending.cause is Cause.SUCCESS and lost is not None:
            ending = lost
        records = tuple(
            RankRecord(
                rank=rank.place.rank,
                pid=rank.process.pid,
                end=rank.end,
                is_stopped=rank.is_stopped,
                duration_s=rank.ended_s - rank.started_s,
                last_stderr_line=rank.streams[1].last_line,
            )
            for rank in self._ranks
        )
        return Outcome(
            ending.cause, ending.status, ending.detail, ending.first_rank, duration_s, records
        )
