"""The public `run`: checks, hands the call to the launcher, and makes its outcome the caller's.

How processes are started and ended is not here.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from ringsync.errors import ConfigError, PeerLostError, RingsyncError, TimedOutError
from ringsync.jobs.channels import channels, read_message, write_message
from ringsync.jobs.failure import Failure, exception_of, read_failure
from ringsync.jobs.launcher import python_command, run_launcher
from ringsync.jobs.options import Options, check_call, check_options, check_size
from ringsync.jobs.pickling import Call, read_result, write_call
from ringsync.jobs.rank import CALL, FAILURE, RESULT
from ringsync.jobs.request import Request

T = TypeVar("T")

# Why a job may end other than by its ranks, as the launcher's report names it; {} is the detail.
_OTHER_CAUSES = {
    "interrupted": "the launcher was sent {}, and the ranks have been ended. Look who sent it.",
    "guard lost": "{}; all ranks have been ended. Look what killed or stopped that guard.",
    "output closed": "the launcher's output cannot be written ({}); all ranks have been ended. "
    "Look who closed it.",
}


def run(
    fn: Callable[..., T],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    np: int = 2,
    **options: Unpack[Options],
) -> list[T]:
    """Run `fn(*args, **kwargs)` on `np` ranks of this host, and return what each returned.

    Ranks are new processes: they see what the function refers to as it is at the call, and what
    they change stays with them. Lambdas, closures and functions of a script or a notebook cell will
    do. Whoever communicates calls `init` in the function, as in a script. Ctrl-C ends the ranks.

    Args:
        fn: Picklable by cloudpickle, as are its arguments, its result and what it refers to.
        args: Its arguments by position.
        kwargs: Its arguments by name.
        np: Number of ranks, 1 or more.
        **options: `timeline` and `log_dir`, directories as for `ringsyncrun`; `env`, variables that
            the ranks have beyond those of this process; `timeout_s`, seconds after which the ranks
            are ended; `start_timeout_s`, seconds that they wait for one another in `init`;
            `grace_s`, seconds from the request to end to SIGKILL (3); `tag_output`, whether lines
            that ranks print start with `[rank]`; `verbose`, whether starts and ends are told.

    Returns:
        One result per rank, in rank order.

    Raises:
        ConfigError: An argument or option cannot be used, or something cannot be pickled.
        PeerLostError: A rank was killed or left before the function returned.
        TimedOutError: `timeout_s` is over; `.missing` lists the ranks that had not finished.
        RingsyncError: The launcher failed, or an exception of a rank cannot be pickled.
        BaseException: What the function raised on the rank that failed first, whose traceback is
            its cause.

    Cost: Some tenths of a second to start the interpreters; arguments once for all ranks.
    Source: The form is Horovod's `horovod.run` (horovod/runner/__init__.py).

    Example:
        >>> def total(x):
        ...     rs.init()
        ...     return float(rs.allreduce(np.full(1, x * rs.rank()), op=rs.Sum)[0])
        >>> rs.run(total, args=(10,), np=4)
        [60.0, 60.0, 60.0, 60.0]
    """
    size = check_size(np)
    call = Call(*check_call(fn, args, kwargs))
    checked = check_options(options)
    with channels(size + 2) as numbers:
        called, report, *answers = numbers
        write_message(called, CALL, lambda file: write_call(call, file))
        request = Request(
            command=python_command("ringsync.jobs.rank", *map(str, (called, *answers))),
            size=size,
            descriptors=tuple((called, answer) for answer in answers),
            report=report,
            environment=dict(checked.get("env") or {}),
            timeline=_text(checked.get("timeline")),
            log_dir=_text(checked.get("log_dir")),
            is_tagged=checked.get("tag_output"),
            grace_s=checked.get("grace_s", 3.0),
            start_timeout_s=checked.get("start_timeout_s"),
            is_verbose=bool(checked.get("verbose")),
        )
        timeout_s = checked.get("timeout_s")
        is_in_time = run_launcher(request, numbers, timeout_s)
        return _Ended(size, report, answers).results(None if is_in_time else timeout_s)


def _text(path: object) -> str | None:
    return None if path is None else str(path)


class _Ended:
    """A job that is over, as its channels tell."""

    def __init__(self, size: int, report: int, answers: Sequence[int]) -> None:
        self._size = size
        self._answers = answers
        with read_message(report) as (kind, file):
            self._outcome: dict[str, Any] = json.load(file) if kind else {}

    def results(self, over_s: float | None) -> list[Any]:
        """Give the results, or raise what became of them; `over_s` was too short, if not None."""
        kinds = [self._kind(rank) for rank in range(self._size)]
        undone = tuple(rank for rank, kind in enumerate(kinds) if kind != RESULT)
        if over_s is not None:
            raise self._late(undone, over_s)
        if not self._outcome:
            raise RingsyncError(
                "[run] the launcher ended without a word of the job's outcome; all ranks have been "
                "ended. Its last output says why; else look who killed it."
            )
        if "error" in self._outcome:
            raise ConfigError(self._outcome["error"])
        first, cause = self._outcome["first_failing_rank"], self._outcome["cause"]
        if first is None and cause == "success" and undone:
            first = undone[0]  # it left with code 0
        if first is not None:
            raise self._exception(first)
        if cause != "success":
            words = _OTHER_CAUSES[cause].format(self._outcome["detail"])
            raise RingsyncError(f"[run] {words}")
        return [self._result(rank) for rank in range(self._size)]

    def _late(self, undone: tuple[int, ...], over_s: float) -> TimedOutError:
        what = (
            f"ranks {set(undone)} of {self._size} were not done"
            if undone
            else f"all {self._size} functions had returned, but not all processes had ended"
        )
        return TimedOutError(
            f"[run] {what} after {over_s:g} s; all have been ended. Raise timeout_s, or look for "
            "what they wait for.",
            undone,
        )

    def _kind(self, rank: int) -> bytes:
        with read_message(self._answers[rank]) as (kind, _):
            return kind

    def _result(self, rank: int) -> object:
        with read_message(self._answers[rank]) as (_, file):
            return read_result(file, self._name(rank))

    def _failure(self, rank: int) -> Failure | None:
        with read_message(self._answers[rank]) as (kind, file):
            return read_failure(file) if kind == FAILURE else None

    def _name(self, rank: int) -> str:
        pid = self._outcome["ranks"][rank]["pid"]
        return f"rank {rank} of {self._size} (pid {pid})"

    def _exception(self, rank: int) -> BaseException:
        rank = self._guilty(rank)
        failure = self._failure(rank)
        if failure is not None:
            return exception_of(failure, self._name(rank))
        facts = self._outcome["ranks"][rank]
        when = "after" if self._kind(rank) == RESULT else "before"
        lines = facts["last_stderr_lines"]
        last = lines[-1] if lines else "(it wrote nothing there)"
        return PeerLostError(
            f"[run] {self._name(rank)} {facts['how']} {when} its function returned; all ranks have "
            f"ended. Read its stderr, which ends so: {last}",
            rank=rank,
            host=socket.gethostname(),
            pid=facts["pid"],
            cause=facts["how"],
        )

    def _guilty(self, rank: int) -> int:
        """Find who began: a rank that only lost another one did not, if that one failed itself."""
        seen: set[int] = set()
        while rank not in seen:
            seen.add(rank)
            failure = self._failure(rank)
            lost = -1 if failure is None else failure.lost_rank
            if not 0 <= lost < self._size or not self._has_failed(lost):
                break
            rank = lost
        return rank

    def _has_failed(self, rank: int) -> bool:
        kind = self._kind(rank)
        is_stopped = self._outcome["ranks"][rank]["ended_by_launcher"]
        return kind == FAILURE or (kind != RESULT and not is_stopped)
