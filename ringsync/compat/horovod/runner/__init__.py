"""`horovod.run` as `ringsync.run`: Horovod's words on this side, ringsync's on the other.

Starting and ending ranks is the matter of ringsync.jobs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeVar

from ringsync.errors import ConfigError
from ringsync.jobs import run as run_job
from ringsync.words import in_line

__all__ = ["run"]

T = TypeVar("T")

_ELASTIC = "the number of ranks does not change during a job"
_ONE_HOST = "all ranks are on this host, and none is reached by ssh or a network"
_OWN_WAY = "ranks talk through ringsync's own transports"
# Of each argument that cannot be honoured, why. `disable_cache` and `use_gloo` ask for what is so.
_UNSUPPORTED = {
    "min_num_proc": _ELASTIC,
    "min_np": _ELASTIC,
    "max_num_proc": _ELASTIC,
    "max_np": _ELASTIC,
    "slots": _ELASTIC,
    "reset_limit": _ELASTIC,
    "cooldown_range": _ELASTIC,
    "host_discovery_script": _ELASTIC,
    "hostfile": _ONE_HOST,
    "ssh_port": _ONE_HOST,
    "ssh_identity_file": _ONE_HOST,
    "network_interface": _ONE_HOST,
    "network_interfaces": _ONE_HOST,
    "use_mpi": _OWN_WAY,
    "mpi_args": _OWN_WAY,
    "executable": "ranks run the interpreter of this process",
}
_NEEDLESS = frozenset({"disable_cache", "use_gloo"})
_THIS_HOST = re.compile(r"(?:localhost|127\.0\.0\.1)(?::(\d+))?")


def run(  # noqa: PLR0913 - Horovod's arguments
    func: Callable[..., T],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    num_proc: int | None = None,
    *,
    np: int | None = None,
    hosts: str | None = None,
    start_timeout: float | None = None,
    output_filename: str | PathLike[str] | None = None,
    verbose: int | None = None,
    **others: object,
) -> list[T]:
    """Run `func(*args, **kwargs)` on `num_proc` ranks of this host.

    Args:
        func: As for `ringsync.run`.
        args: Its arguments by position.
        kwargs: Its arguments by name.
        num_proc: Number of ranks; 1 where it is not given.
        np: Its older name.
        hosts: None, or this host with its slots: "localhost:4".
        start_timeout: Seconds that ranks wait for one another.
        output_filename: Directory in which the output of each rank is kept.
        verbose: Whether the start and end of every rank is told, if above 1.
        **others: Horovod's other arguments. `use_gloo` and `disable_cache` change nothing.

    Returns:
        One result per rank, in rank order.

    Raises:
        ConfigError: An argument asks for what ringsync does not do, or cannot be used.
        TypeError: Horovod has no such argument.
        BaseException: As for `ringsync.run`.
    """
    for name, value in others.items():
        _check(name, value)
    if None not in (num_proc, np):
        raise ConfigError(
            f"[horovod] run: num_proc={num_proc} and np={np} are one argument. Give one of them."
        )
    size = next((given for given in (num_proc, np) if given is not None), 1)
    _check_hosts(hosts, size)
    return run_job(
        func,
        args,
        kwargs,
        size,
        start_timeout_s=start_timeout,
        log_dir=output_filename,
        verbose=(verbose or 0) > 1,
    )


def _check(name: str, value: object) -> None:
    if name in _UNSUPPORTED:
        if value not in (None, False):
            raise ConfigError(
                f"[horovod] run: {name}={in_line(value)} cannot be honoured: {_UNSUPPORTED[name]}. "
                "Leave it out."
            )
    elif name not in _NEEDLESS:
        raise TypeError(f"run() got an unexpected keyword argument {name!r}")


def _check_hosts(hosts: str | None, size: int) -> None:
    if hosts is None:
        return
    this = _THIS_HOST.fullmatch(hosts)
    if this is None:
        raise ConfigError(
            f"[horovod] run: hosts={in_line(hosts)}; {_ONE_HOST}. Leave it out, or write "
            f"hosts='localhost:{size}'."
        )
    if this[1] and int(this[1]) < size:
        raise ConfigError(
            f"[horovod] run: {size} ranks are more than the {this[1]} slots of "
            f"hosts={in_line(hosts)}. Give more slots, or leave hosts out."
        )
