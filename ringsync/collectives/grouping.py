"""Sums and averages of many arrays at once."""

from __future__ import annotations

from collections.abc import Iterable

from ringsync.arrays import Array, as_copy
from ringsync.collectives.call import run_all, start_all
from ringsync.collectives.reduce_op import Average, ReduceOp
from ringsync.collectives.reduction import reduction
from ringsync.collectives.shortcuts import shortcut
from ringsync.errors import ConfigError
from ringsync.group import ProcessGroup
from ringsync.handle import GroupedHandle
from ringsync.kinds import Collective
from ringsync.words import kind_of


def grouped_allreduce(
    xs: Iterable[object],
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> list[Array]:
    """Reduce every array of `xs` over all ranks, as one call.

    The arrays are submitted in one stroke, nothing comes between them, and small ones travel
    together.

    Args:
        xs: Arrays as for `allreduce`, of any shapes and dtypes; equally many on every rank.
        op: As for `allreduce`.
        name: Array number i is named `name.i`; None pairs calls by order.
        group: As for `allreduce`.
        codec: As for `allreduce`.
        prescale: As for `allreduce`.
        postscale: As for `allreduce`.
        timeout_s: Seconds from this call for all of them; None means RINGSYNC_TIMEOUT_S, without
            which only a stall ends them.

    Returns:
        New arrays, in the order of `xs`.

    Raises:
        ConfigError: An array, `op`, `group`, `codec` or a scale cannot be used, and nothing was
            submitted; or an array is on a device to which no rank has a way, and the others are
            reduced.
        DuplicateNameError: An operation of one of the names is in flight; nothing was submitted.
        MismatchError: Ranks disagree on an array, and the others are reduced all the same; or on
            how many arrays there are, and none is.
        PeerLostError: A rank died; its number is in `.rank`.
        TimedOutError: Not complete in time; the message lists the missing ranks.

    Cost: 2(n-1)/n of all bytes sent per rank, (n-1) of the bytes of small arrays; and copies.
    """
    place = "grouped_allreduce"
    arrays = _copied(place, xs)
    terms = reduction(place, op, codec, prescale, postscale)
    return run_all(place, Collective.ALLREDUCE, arrays, name, timeout_s, terms, group)


@shortcut(Collective.ALLREDUCE, is_list=True)
def grouped_allreduce_(
    xs: Iterable[object],
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> list[Array]:
    """Reduce every array of `xs` over all ranks in place, as one call.

    Args:
        xs: Arrays as for `allreduce_`, none of them twice; else as for `grouped_allreduce`.
        op: As for `allreduce`.
        name: As for `grouped_allreduce`.
        group: As for `allreduce`.
        codec: As for `allreduce`.
        prescale: As for `allreduce`.
        postscale: As for `allreduce`.
        timeout_s: As for `grouped_allreduce`.

    Returns:
        `xs` as NumPy arrays.

    Raises:
        ConfigError: An array, `op`, `group`, `codec` or a scale cannot be used; nothing was
            submitted.
        DuplicateNameError: An operation of one of the names is in flight; nothing was submitted.
        MismatchError: Ranks disagree on an array, which is unchanged; the others are reduced.
        PeerLostError: A rank died; the arrays are then unspecified.
        TimedOutError: Not complete in time; the arrays are then unspecified.

    Cost: As for `grouped_allreduce`, without copies.
    """
    place = "grouped_allreduce_"
    terms = reduction(place, op, codec, prescale, postscale)
    return run_all(place, Collective.ALLREDUCE, _listed(place, xs), name, timeout_s, terms, group)


def grouped_allreduce_async(
    xs: Iterable[object],
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> GroupedHandle:
    """Start a `grouped_allreduce` and return at once.

    Args:
        xs: As for `grouped_allreduce`; copied before this returns.
        op: As for `allreduce`.
        name: As for `grouped_allreduce`.
        group: As for `allreduce`.
        codec: As for `allreduce`.
        prescale: As for `allreduce`.
        postscale: As for `allreduce`.
        timeout_s: As for `grouped_allreduce`.

    Returns:
        A handle whose `result()` is the list of reduced arrays; it also raises what
        `grouped_allreduce` would.

    Raises:
        ConfigError: An array, `op`, `group`, `codec` or a scale cannot be used; nothing was
            submitted.
        DuplicateNameError: An operation of one of the names is in flight; nothing was submitted.
    """
    place = "grouped_allreduce_async"
    arrays = _copied(place, xs)
    terms = reduction(place, op, codec, prescale, postscale)
    return start_all(place, Collective.ALLREDUCE, arrays, name, timeout_s, terms, group)


@shortcut(Collective.ALLREDUCE, GroupedHandle, is_list=True)
def grouped_allreduce_async_(
    xs: Iterable[object],
    *,
    op: ReduceOp = Average,
    name: str | None = None,
    group: ProcessGroup | None = None,
    codec: str | None = None,
    prescale: float = 1.0,
    postscale: float = 1.0,
    timeout_s: float | None = None,
) -> GroupedHandle:
    """Start a `grouped_allreduce_` and return at once.

    Args:
        xs: As for `grouped_allreduce_`; not to be touched until the handle is done.
        op: As for `allreduce`.
        name: As for `grouped_allreduce`.
        group: As for `allreduce`.
        codec: As for `allreduce`.
        prescale: As for `allreduce`.
        postscale: As for `allreduce`.
        timeout_s: As for `grouped_allreduce`.

    Returns:
        A handle whose `result()` is the list of arrays; it also raises what `grouped_allreduce_`
        would.

    Raises:
        ConfigError: An array, `op`, `group`, `codec` or a scale cannot be used; nothing was
            submitted.
        DuplicateNameError: An operation of one of the names is in flight; nothing was submitted.
    """
    place = "grouped_allreduce_async_"
    terms = reduction(place, op, codec, prescale, postscale)
    return start_all(place, Collective.ALLREDUCE, _listed(place, xs), name, timeout_s, terms, group)


def _copied(place: str, xs: Iterable[object]) -> list[object]:
    return [as_copy(x, f"{place}: array {i}") for i, x in enumerate(_listed(place, xs))]


def _listed(place: str, xs: Iterable[object]) -> list[object]:
    try:
        each = iter(xs)
    except TypeError:
        raise ConfigError(
            f"[{place}] {kind_of(xs)} holds no arrays; several are expected. Pass a list."
        ) from None
    return list(each)
