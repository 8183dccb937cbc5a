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
from ringsync.jobs.options import check_size
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
_THIS_HOST = re.compile(r"(?:localhost|127\.0\.0\.1)(?::(\d+))?")


def run(  # noqa: PLR0913, PLR0917 - Horovod's arguments, some of which are given by position
    func: Callable[..., T],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    num_proc: int | None = 1,
    min_num_proc: int | None = None,
    max_num_proc: int | None = None,
    slots: int | None = None,
    reset_limit: int | None = None,
    cooldown_range: Sequence[int] | None = None,
    hosts: str | None = None,
    hostfile: str | None = None,
    host_discovery_script: str | None = None,
    start_timeout: float | None = None,
    ssh_port: int | None = None,
    ssh_identity_file: str | None = None,
    disable_cache: bool | None = None,
    output_filename: str | PathLike[str] | None = None,
    verbose: int | None = None,
    use_gloo: bool | None = None,
    use_mpi: bool | None = None,
    mpi_args: str | None = None,
    network_interface: str | None = None,
    network_interfaces: Sequence[str] | None = None,
    executable: str | None = None,
    np: int | None = None,
    min_np: int | None = None,
    max_np: int | None = None,
) -> list[T]:
    """Run `func(*args, **kwargs)` on `num_proc` ranks of this host.

    Args:
        func: As for `ringsync.run`.
        args: Its arguments by position.
        kwargs: Its arguments by name.
        num_proc: Number of ranks.
        min_num_proc: None; ringsync has no such thing, as of all that say so below.
        max_num_proc: None.
        slots: None.
        reset_limit: None.
        cooldown_range: None.
        hosts: None, or this host with its slots: "localhost:4".
        hostfile: None.
        host_discovery_script: None.
        start_timeout: Seconds that ranks wait for one another.
        ssh_port: None.
        ssh_identity_file: None.
        disable_cache: Changes nothing.
        output_filename: Directory in which the output of each rank is kept.
        verbose: Whether the start and end of every rank is told, if above 1.
        use_gloo: Changes nothing.
        use_mpi: None or False.
        mpi_args: None.
        network_interface: None.
        network_interfaces: None.
        executable: None.
        np: Older name of `num_proc`, which is None, 1 or the same then.
        min_np: None.
        max_np: None.

    Returns:
        One result per rank, in rank order.

    Raises:
        ConfigError: An argument asks for what ringsync does not do, or cannot be used.
        BaseException: As for `ringsync.run`.
    """
    given = locals()
    for name, reason in _UNSUPPORTED.items():
        _check(name, given[name], reason)
    size = check_size(num_proc if np is None else np)
    if num_proc not in (None, 1, size):
        raise ConfigError(
            f"[horovod] run: num_proc={in_line(num_proc)} and np={in_line(np)} are one argument. "
            "Give one of them."
        )
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


def _check(name: str, value: object, reason: str) -> None:
    is_so = value is None or (name == "use_mpi" and value is False)
    if not is_so:
        raise ConfigError(
            f"[horovod] run: {name}={in_line(value)} cannot be honoured: {reason}. Leave it out."
        )


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
