"""Runs one rank: starts it, owns its output, ends all that came of it, and reports how it ended.

A guard is a process of its own, so that whatever happens to the launcher, or to a launcher of
another kind, one process is left to clean up. It knows nothing of the other ranks; why they are all
ended is decided in supervise.py.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from ringsync.launch.codes import CANNOT_EXECUTE, USAGE_ERROR
from ringsync.launch.descendants import (
    ProcessEnd,
    adopt_orphans,
    children_of,
    descendants,
    group_of,
    kill_children,
    reap,
    send_signal,
    send_signal_to_groups,
)
from ringsync.launch.execute import execute
from ringsync.launch.limits import restore
from ringsync.launch.link import Link, Message
from ringsync.launch.log import open_log
from ringsync.launch.output import Stream, open_missing_standard_streams, say
from ringsync.launch.relay import Relay
from ringsync.launch.signals import ASK_FOR_STACKS, SignalInbox
from ringsync.launch.sink import LAUNCHER
from ringsync.launch.stacks import ask_for_stacks, show_stacks_when_asked
from ringsync.launch.tail import Tail
from ringsync.seconds import seconds_until

_SPEAKER = "[rank_guard]"  # where no launcher of ours speaks to people
KILL_LIMIT_S = 1.5  # SIGKILL takes milliseconds; longer means a process stuck in the kernel


class Charge(NamedTuple):
    """What one guard looks after, and how; its fields are the options of its command line.

    There `-` stands for `_`.

    Attributes:
        command: Argument vector of the rank.
        rank: Its number, for words to people.
        output: `tagged` puts `[rank]` before each line, `lines` keeps lines whole, `raw` passes
            bytes on as they come.
        grace_s: Seconds between the request to end and SIGKILL.
        logs: Directory for its raw output, or "".
        link: Descriptor of the socket to the launcher, or -1 under a launcher of another kind.
        remove: Directory to remove should the launcher die, or "".
        hold: Descriptor to keep from the rank and open to the end, or -1; whoever reads its other
            end learns by that when nothing of the rank lives any more.
        files: Soft limit of open files for the rank, or 0 for the one that is set.
    """

    command: tuple[str, ...]
    rank: int = 0
    output: str = "tagged"
    grace_s: float = 3.0
    logs: str = ""
    link: int = -1
    remove: str = ""
    hold: int = -1
    files: int = 0

    def words(self) -> list[str]:
        """Write it as a command line; see `main`."""
        options = [
            f"--{name.replace('_', '-')}={getattr(self, name)}" for name in self._field_defaults
        ]
        return [*options, "--", *self.command]


def main(words: Sequence[str]) -> int:
    """Run a guard: `[--name=value]... -- program args`, names and meaning as in `Charge`.

    Args:
        words: The command line.

    Returns:
        The rank's exit code; 128 + its signal; 126 if it cannot be executed; 2 for wrong words.
    """
    open_missing_standard_streams()
    show_stacks_when_asked()
    charge = _read(words)
    if charge is None:
        options = "[--rank=N] [--grace-s=S] [--logs=DIR]"
        say(f"{_SPEAKER} usage: rank_guard.py {options} -- program args")
        return USAGE_ERROR
    with (
        selectors.DefaultSelector() as selector,
        SignalInbox(signal.SIGCHLD, *ASK_FOR_STACKS) as inbox,
    ):
        return Guard(charge, selector, inbox).run()


class Guard:
    """The state of one guarded rank."""

    def __init__(
        self, charge: Charge, selector: selectors.BaseSelector, inbox: SignalInbox
    ) -> None:
        """Prepare; nothing starts before `run`."""
        self._charge = charge
        self._selector = selector
        self._inbox = inbox
        self._relay = Relay(selector, _SPEAKER if charge.link < 0 else LAUNCHER)
        self._tail = Tail()
        self._pid = 0
        self._end: ProcessEnd | None = None
        self._kill_at_s: float | None = None  # set once the ending has begun
        self._asked: set[int] = set()  # who was asked to end
        self._is_hurried = False  # nobody waits for what is still to be written
        self._is_orphaned = False  # the launcher has died
        self._link = None if charge.link < 0 else Link(socket.socket(fileno=charge.link))
        if charge.hold >= 0:
            os.set_inheritable(charge.hold, False)
        selector.register(inbox, selectors.EVENT_READ, self._on_signals)
        if self._link is not None:
            selector.register(self._link, selectors.EVENT_READ, self._on_order)
        elif parent := os.getppid():  # 0: outside our pid namespace, where nobody can be watched
            self._parent_fd = os.pidfd_open(parent)
            selector.register(self._parent_fd, selectors.EVENT_READ, self._on_parent_dead)

    def run(self) -> int:
        """Start the rank, watch it, end what it leaves behind, report."""
        adopt_orphans()
        restore(self._charge.files)
        try:
            self._start()
        except OSError as error:
            self._report("unstarted", reason=str(error))
            if self._link is None:
                rank, program = self._charge.rank, self._charge.command[0]
                words = f"rank {rank} could not start {program!r}: {error}. Run it by itself."
                say(f"{_SPEAKER} {words}")
            return CANNOT_EXECUTE
        while not self._is_over():
            self._turn(self._kill_at_s)
        left = self._kill_rest()
        if self._is_orphaned and self._charge.remove:
            _remove(self._charge.remove)
        self._report("over", left=sorted(left))
        while self._relay.backlog_bytes and not self._is_hurried:
            self._turn(None)
        return 128 + signal.SIGKILL if self._end is None else self._end.status

    def _start(self) -> None:
        charge = self._charge
        # Before the rank can do anything to their directory.
        tell = self._tell_of_rank
        logs = {name: open_log(charge.logs, name, tell) for name in ("stdout", "stderr")}
        self._pid, stdout, stderr = execute(charge.command)
        prefix = {"tagged": f"[{charge.rank}] ".encode(), "lines": b""}.get(charge.output)
        for pipe, name, sink, tail in (
            (stdout, "stdout", self._relay.stdout, None),
            (stderr, "stderr", self._relay.stderr, self._tail),
        ):
            self._relay.attach(Stream(pipe, sink, prefix, log=logs[name], tail=tail))
        descriptor = os.pidfd_open(self._pid)
        self._report("started", descriptor, pid=self._pid, started_s=time.time())
        os.close(descriptor)

    def _turn(self, until_s: float | None) -> None:
        for key, _ in self._selector.select(seconds_until(until_s)):
            key.data()
        self._relay.throttle()

    def _is_over(self) -> bool:
        is_late = self._kill_at_s is not None and time.monotonic() >= self._kill_at_s
        return is_late or (self._end is not None and not children_of())

    def _on_signals(self) -> None:
        for number in self._inbox.take():
            if number == signal.SIGCHLD:
                self._reap()
            elif number in ASK_FOR_STACKS:
                self._show_stacks()
            else:
                self._begin_ending(number)

    def _on_parent_dead(self) -> None:
        self._selector.unregister(self._parent_fd)
        self._is_orphaned = True
        self._hurry()

    def _on_order(self) -> None:
        link = cast(Link, self._link)
        for order in link.receive():
            if order.kind == "end":
                self._begin_ending(order.facts["signal"])
            elif order.kind == "kill":
                self._hurry()
            elif order.kind == "stacks":
                self._show_stacks()
        if not link.is_open:  # the launcher never closes its end before its guard has ended
            self._selector.unregister(link)
            self._is_orphaned = True
            self._hurry()

    def _hurry(self) -> None:
        self._kill_at_s = time.monotonic()
        self._is_hurried = True

    def _begin_ending(self, number: int) -> None:
        """Ask every process to end; `_is_over` turns True when they have or the grace is over."""
        if self._kill_at_s is not None:
            return
        self._kill_at_s = time.monotonic() + self._charge.grace_s
        groups = [self._pid] if self._end is None else []
        send_signal_to_groups(groups, number)
        send_signal_to_groups(groups, signal.SIGCONT)  # a stopped process cannot obey
        self._asked.update(descendants())
        send_signal((pid for pid in self._asked if group_of(pid) not in groups), number)

    def _show_stacks(self) -> None:
        words = f"rank {self._charge.rank} (pid {self._pid})"
        obstacle = "has ended" if self._end is not None else ask_for_stacks(self._pid)
        if obstacle is None:
            self._relay.tell(f"stacks of {words} follow:")
            return
        # A shell around the Python program, for example.
        asked = [pid for pid in sorted(descendants()) if ask_for_stacks(pid) is None]
        below = f"; stacks of pid {', '.join(map(str, asked))} below it follow:" if asked else ""
        self._relay.tell(f"{words} {obstacle}{below}")

    def _tell_of_rank(self, text: str) -> None:
        self._relay.tell(f"rank {self._charge.rank}: {text}")

    def _reap(self) -> None:
        # The rank is known to be a child, also where no list of children can be had.
        mine = [self._pid] if self._end is None else []
        for pid in children_of().union(mine):
            end = reap(pid)
            if end is not None and pid == self._pid:
                self._record_end(end)
            elif end is None and self._kill_at_s is not None and pid not in self._asked:
                self._asked.add(pid)  # born while the others were being asked
                send_signal([pid], signal.SIGTERM)

    def _record_end(self, end: ProcessEnd) -> None:
        self._end = end
        self._relay.drain()
        self._report(
            "ended",
            code=end.code,
            signal=end.signal_number,
            ended_s=time.time(),
            stderr=self._tail.lines,
            exception=self._tail.exception,
            is_final=self._tail.is_final,
        )
        self._begin_ending(signal.SIGTERM)  # for what it has left running

    def _kill_rest(self) -> frozenset[int]:
        """Kill what is left, take its last output, and say who outlived SIGKILL."""
        if self._end is None:
            send_signal_to_groups([self._pid], signal.SIGKILL)
        sweep = kill_children(time.monotonic() + KILL_LIMIT_S)
        if self._end is None and self._pid in sweep.ended:
            self._record_end(sweep.ended[self._pid])
        self._relay.close_streams()
        return sweep.left

    def _report(self, kind: str, descriptor: int | None = None, **facts: object) -> None:
        if self._link is not None:
            self._link.send(Message(kind, facts, descriptor))


def _remove(directory: str) -> None:
    import shutil  # noqa: PLC0415 - only where it is needed, since it takes long

    shutil.rmtree(directory, ignore_errors=True)


def _read(words: Sequence[str]) -> Charge | None:
    options: dict[str, Any] = {}
    try:
        border = words.index("--")
        for word in words[:border]:
            option, _, value = word.removeprefix("--").partition("=")
            name = option.replace("-", "_")
            options[name] = type(Charge._field_defaults[name])(value)
        return Charge(tuple(words[border + 1 :]), **options)
    except (KeyError, ValueError):
        return None
