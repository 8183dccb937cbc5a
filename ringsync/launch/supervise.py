"""Runs one job: starts a guard per rank, decides when and why the job ends, reports how.

One thread, one selector; it sleeps until a guard reports, an output comes, or a signal. Watching
the guards is ranks.py; starting a rank, owning its output and ending what it started is guard.py;
what is said at the end, outcome.py.
"""

from __future__ import annotations

import selectors
import shlex
import signal
import time

from ringsync.errors import ConfigError
from ringsync.launch.codes import CONFIGURATION_ERROR, OUTPUT_ERROR, SOFTWARE_ERROR
from ringsync.launch.descendants import ProcessEnd, adopt_orphans, signal_name
from ringsync.launch.ended import note_ended
from ringsync.launch.guard import KILL_LIMIT_S
from ringsync.launch.job import Job
from ringsync.launch.limits import make_room
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
from ringsync.launch.output import READER_GONE, Stream
from ringsync.launch.placement import places
from ringsync.launch.ranks import Ranks
from ringsync.launch.relay import Relay
from ringsync.launch.signals import ASK_FOR_STACKS, SignalInbox
from ringsync.launch.spawn import start_guard
from ringsync.launch.stacks import is_stopped
from ringsync.seconds import seconds_until

# What a guard may take beyond its own limits before it is killed itself, and output may be lost.
# With 40 busy ranks on 2 cores the last guard was done 0.13 s after the grace period.
_GUARD_LATE_S = 0.5

# So long after a rank's end those that are stopped are told: as soon as one that others wait for.
_STOPPED_TOLD_S = 30.0


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
        self._ranks = Ranks(selector, self, job.grace_s)
        self._ending: Ending | None = None
        self._refusal: str | None = None  # why a rank could not be started
        self._is_flushing = False  # only output is left
        self._is_hurried = False  # nobody waits for that either
        self._stacks_at_s: float | None = None
        self._look_at_s: float | None = None  # for ranks that are stopped
        self._told: set[int] = set()  # that they are
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
            while not self._ranks.is_over:
                self._turn()
        finally:
            left = self._ranks.kill_rest()
            self._relay.close_streams()
        if self._refusal is not None:
            raise ConfigError(self._refusal)
        if left:
            self._relay.tell(f"processes {left} do not die; look at them with ps.")
        self._flush()
        try:
            return self._conclude(time.monotonic() - started_s)
        finally:
            self._relay.close()

    @property
    def is_ending(self) -> bool:
        """Whether the ranks have been asked to end."""
        return self._ending is not None

    def on_started(self, record: RankRecord) -> None:
        """Tell it if asked for."""
        if self._job.is_verbose:
            words = shlex.join(self._job.command)
            self._relay.tell(f"rank {record.rank} is pid {record.pid}: {words}")

    def on_unstarted(self, record: RankRecord, reason: str) -> None:
        """End the job; the first reason is what will be said."""
        if self._refusal is None:
            self._refusal = (
                f"[ringsyncrun] rank {record.rank} of {self._job.size} could not start "
                f"{self._job.command[0]!r}: {reason}. Run that command by itself."
            )
        if self._ending is None:
            self._begin_ending(Ending(Cause.UNSTARTED, SOFTWARE_ERROR), signal.SIGTERM)

    def on_ended(self, record: RankRecord, end: ProcessEnd) -> None:
        """End the job if this is the first rank to fail; tell ranks that wait for one in vain."""
        if self._job.is_verbose:
            self._relay.tell(f"rank {record.rank} (pid {record.pid}) {end.describe()}")
        if self._ending is not None:
            return
        if end.status == 0:
            self._look_at_s = time.monotonic() + _STOPPED_TOLD_S
            note_ended(self._job.rendezvous, record.rank, self._job.size)
            return
        alive = sum(other.end is None for other in self._ranks.records)
        if alive and self._job.report is None:
            self._relay.tell(
                f"rank {record.rank} of {self._job.size} {end.describe()}; ending the other "
                f"{alive} (SIGTERM now, SIGKILL after {self._job.grace_s:g} s)"
            )
        status, cause = record.failure()
        first = Ending(cause, status, first_rank=record.rank)
        self._begin_ending(first, signal.SIGTERM)

    def on_guard_lost(self, detail: str, status: int) -> None:
        """End the job."""
        if self._ending is None:
            self._begin_ending(Ending(Cause.GUARD_LOST, status, detail), signal.SIGTERM)

    def _start_guards(self) -> None:
        files = make_room(self._job.size)
        for place in places(self._job.size):
            try:
                guard = start_guard(self._job, place, files)
            except OSError as error:
                raise ConfigError(
                    f"[ringsyncrun] the guard of rank {place.rank} of {place.size} could not "
                    f"start: {error}. Lower -np, or raise the limits that ulimit -n and -u show."
                ) from error
            self._ranks.add(guard)
            is_lines = self._job.is_tagged or self._job.size > 1
            for pipe, sink in (
                (guard.stdout, self._relay.stdout),
                (guard.stderr, self._relay.stderr),
            ):
                prefix = b"" if is_lines else None
                self._relay.attach(Stream(pipe, sink, prefix, is_guarded=True))

    def _turn(self) -> None:
        times = (self._stacks_at_s, self._look_at_s, self._guards_late_at_s, self._ranks.late_at_s)
        next_s = min((at_s for at_s in times if at_s is not None), default=None)
        for key, _ in self._selector.select(seconds_until(next_s)):
            key.data()
        self._relay.throttle()
        lost = self._output_loss()
        if lost is not None and self._ending is None:
            self._begin_ending(lost, signal.SIGTERM)
        if self._stacks_at_s is not None and time.monotonic() >= self._stacks_at_s:
            self._stacks_at_s = None
            self._ranks.order("stacks")
        if self._look_at_s is not None and time.monotonic() >= self._look_at_s:
            self._look_at_s = None
            self._tell_stopped()
        self._ranks.kill_late()
        if self._guards_late_at_s is not None and time.monotonic() >= self._guards_late_at_s:
            self._on_guards_late()

    def _tell_stopped(self) -> None:
        """A rank that no other needs would else be waited for without a word."""
        for one in self._ranks.records:
            if one.end is None and one.rank not in self._told and is_stopped(one.pid):
                self._told.add(one.rank)
                self._relay.tell(
                    f"rank {one.rank} of {self._job.size} (pid {one.pid}) is stopped (SIGSTOP or "
                    "SIGTSTP) while others have ended; kill -CONT lets it go on"
                )

    def _on_guards_late(self) -> None:
        self._guards_late_at_s = None
        self._ranks.kill_guards(is_sparing_over=not self._is_hurried)
        # Those that are spared wait for our reader, which whoever signalled us does not.
        if self._ending is not None and self._ending.cause is Cause.INTERRUPTED:
            self._hurry()

    def _hurry(self) -> None:
        """Wait for nobody any more, neither for processes nor for whoever reads our output."""
        if not self._is_hurried:
            self._is_hurried = True
            self._guards_late_at_s = time.monotonic() + KILL_LIMIT_S + _GUARD_LATE_S
            self._ranks.order("kill")

    def _on_signals(self) -> None:
        for number in self._inbox.take():
            if number == signal.SIGCHLD:
                continue  # of a guard, whose link tells of it
            if number in ASK_FOR_STACKS:
                self._ranks.order("stacks")
            elif self._is_flushing or self._ending or self._is_decided():
                self._hurry()
            else:
                passed_on = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
                ending = Ending(Cause.INTERRUPTED, 128 + number, signal_name(number))
                self._begin_ending(ending, passed_on)

    def _is_decided(self) -> bool:
        """Whether all ranks have ended, so that a signal interrupts what comes after them only."""
        records = self._ranks.records
        return len(records) == self._job.size and all(one.end is not None for one in records)

    def _begin_ending(self, ending: Ending, number: int) -> None:
        self._ending = ending
        limit_s = self._job.grace_s + KILL_LIMIT_S + _GUARD_LATE_S
        self._guards_late_at_s = time.monotonic() + limit_s
        self._ranks.order("end", signal=int(number))

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
        outcome = Outcome(ending, duration_s, self._ranks.records)
        summary = summary_of(self._job, outcome)
        if self._job.report is not None:
            write_report(self._job.report, summary)
        else:
            for line in last_words(self._job, outcome):
                self._relay.tell(line)
        status = ending.status
        if self._job.log_dir is not None:
            try:
                write_summary(self._job.log_dir, summary)
            except OSError as error:
                self._relay.tell(
                    f"summary.json is missing, {self._job.log_dir} does not take it: "
                    f"{error.strerror}. Make room there, or name another directory."
                )
                status = status or CONFIGURATION_ERROR
        self._flush()
        return status
