"""Do all ranks run the same thing? They compare when they meet, before one trusts another.

Versions of ringsync that cannot talk to each other are an error, and so are settings without which
ranks would do different things; of anything else that differs rank 0 tells in one line, because
there may be a reason for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import math
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from ringsync import version
from ringsync.config import Settings
from ringsync.errors import ConfigError, RendezvousError
from ringsync.world import World

_LOGGER = logging.getLogger("ringsync")
_SCRIPT_BYTES = 2**20  # scripts are shorter; what a packer makes of one is known by its beginning
_FAREWELL_S = 5.0  # a reply takes microseconds; whoever needs longer has been stopped
_MOST_VALUES = 4  # of one fact in one line

# Ranks that choose by different rules choose different steps.
_EQUAL = "RINGSYNC_ALGORITHM"

# What is compared, and behind it what people are shown.
Facts = Mapping[str, Sequence[str]]
_UNTOLD = ("", "(not told)")


class Store(Protocol):
    """Where ranks leave each other messages."""

    def set(self, key: str, value: bytes) -> None:
        """Leave `value`."""

    def get(self, key: str, timeout_s: float) -> bytes:
        """Wait for a value."""

    def add(self, key: str, amount: int) -> int:
        """Count from 0, and return the sum."""


def warn_of_misspelt(settings: Settings) -> None:
    """Tell of variables that look like settings and are none.

    Args:
        settings: Of this rank; one of them is enough to tell.
    """
    for name, near in settings.misspelt:
        _LOGGER.warning(
            "[config] %s is set, which ringsync does not read; it reads %s. Correct its name.",
            name,
            near,
        )


def gather_facts(settings: Settings) -> Facts:
    """Collect what should be equal on all ranks.

    Args:
        settings: The user's tuning.

    Returns:
        What is compared and what is shown, by name.
    """
    values = {
        "ringsync": version.__version__,
        "Python": ".".join(map(str, sys.version_info[:3])),
        "NumPy": np.__version__,
        "RINGSYNC_TIMEOUT_S": _limit(settings.timeout_s),
        "RINGSYNC_STALL_ABORT_S": _limit(settings.stall_abort_s),
        "RINGSYNC_BUCKET_MIB": f"{settings.bucket_mib:g}",
        "RINGSYNC_DEVICE_PLUGIN": settings.device_plugin,
        "RINGSYNC_NCCL": settings.nccl,
        "misspelt variable": ", ".join(name for name, _ in settings.misspelt) or "(none)",
        _EQUAL: settings.algorithm or "(none)",
    }
    return {name: (value, value) for name, value in values.items()} | {"script": _script()}


def compare_ranks(store: Store, world: World, facts: Facts, timeout_s: float) -> None:
    """Compare the facts of all ranks; all call this at once.

    Args:
        store: Of this job.
        world: Place of this rank.
        facts: Of this rank.
        timeout_s: Seconds to wait for all other ranks.

    Raises:
        RendezvousError: Versions of ringsync cannot talk to each other, or ranks have told nothing
            in time, or one of them has ended; on every rank.
        ConfigError: A setting that has to be equal is not; on every rank.
    """
    every = _exchange(store, world, facts, timeout_s)
    refusal = find_refusal([each["ringsync"][0] for each in every])
    if refusal:
        _part(store, world)
        raise RendezvousError(refusal)
    unequal = describe_differences([{_EQUAL: each.get(_EQUAL, _UNTOLD)} for each in every])
    if unequal:
        _part(store, world)
        raise ConfigError(f"[preflight] {unequal}. Set it alike on all ranks, or on none.")
    differences = describe_differences(every) if world.rank == 0 else ""
    if differences:
        _LOGGER.warning("[preflight] ranks differ: %s. Start all ranks alike.", differences)


def find_refusal(versions: Sequence[str]) -> str:
    """Find ranks whose version of ringsync cannot talk to rank 0's.

    Args:
        versions: By rank.

    Returns:
        The error's text; "" if all can talk.
    """
    # Until 1.0.0 a minor version may change what ranks say to each other, a patch may not.
    odd = [
        r for r, each in enumerate(versions) if each.split(".")[:2] != versions[0].split(".")[:2]
    ]
    if not odd:
        return ""
    return (
        f"[rendezvous] {_ranks(odd)} of {len(versions)} {'run' if odd[1:] else 'runs'} ringsync "
        f"{', '.join(sorted({versions[rank] for rank in odd}))}, rank 0 runs {versions[0]}, and "
        "these versions cannot talk to each other. Install one version for all ranks."
    )


def describe_differences(every: Sequence[Facts]) -> str:
    """Say which facts differ, on which ranks, with all values.

    Args:
        every: Facts by rank.

    Returns:
        One line, the odd ranks first; "" if all are equal.
    """
    parts = []
    for name in every[0]:
        ranks: dict[str, list[int]] = {}
        shown: dict[str, str] = {}
        for rank, facts in enumerate(every):
            key, value = facts.get(name, _UNTOLD)
            ranks.setdefault(key, []).append(rank)
            shown.setdefault(key, value)
        if len(ranks) == 1:
            continue
        # Of equally many the ones without rank 0 are the odd ones.
        keys = sorted(ranks, key=lambda key: (len(ranks[key]), -ranks[key][0]))
        values = [f"{shown[key]} on {_ranks(ranks[key])}" for key in keys]
        if len(values) > _MOST_VALUES:
            values[_MOST_VALUES - 1 : -1] = [f"{len(values) - _MOST_VALUES} more"]
        parts.append(f"{name} is {', '.join(values)}")
    return "; ".join(parts)


def _exchange(store: Store, world: World, own: Facts, timeout_s: float) -> list[Facts]:
    """Tell this rank's facts, and hear those of all, by rank.

    Ranks are heard in the order in which they come. So whoever has not been heard at the deadline
    has not come, and the store, which cannot be asked again after a wait in vain, need not be.
    """
    # Rank 0 serves the store, so it gives up last.
    until_s = time.monotonic() + timeout_s + (_FAREWELL_S if world.rank == 0 else 0.0)
    text = json.dumps([world.rank, own]).encode()
    turn = store.add("preflight.turns", 1)
    for awaited in range(world.rank + 1):  # the lowest rank not heard is none above this one
        store.set(_key(awaited, turn), text)
    told: dict[int, Facts] = {}
    while len(told) < world.size:
        missing = sorted(set(range(world.size)) - told.keys())
        left_s = max(0.0, until_s - time.monotonic())
        try:
            rank, facts = json.loads(store.get(_key(missing[0], len(told) + 1), left_s))
        except RendezvousError as error:
            if time.monotonic() < until_s:  # a rank has ended, and the store says which
                _part(store, world)
                raise
            raise RendezvousError(
                f"[rendezvous] ranks {{{', '.join(map(str, missing))}}} of {world.size} missing "
                f"after {timeout_s:.1f} s: they have met the others and not told what they run. "
                "See what stops them."
            ) from error
        told[rank] = facts
    return [told[rank] for rank in range(world.size)]


def _key(awaited: int, turn: int) -> str:
    """Where all hear the rank that comes as number `turn` while they wait for rank `awaited`.

    The store knows a rank by this form, and tells those who wait for one that it is gone.
    """
    return f"preflight/{awaited}/{turn}"


def _part(store: Store, world: World) -> None:
    """Rank 0 serves the store, so it ends last."""
    if world.rank != 0:
        with contextlib.suppress(RendezvousError):  # what is being raised says more
            store.set(f"preflight/{world.rank}/read", b"")
        return
    deadline_s = time.monotonic() + _FAREWELL_S
    for rank in range(1, world.size):
        with contextlib.suppress(RendezvousError):  # it has ended, or been stopped: no matter
            store.get(f"preflight/{rank}/read", max(0.0, deadline_s - time.monotonic()))


def _limit(limit_s: float) -> str:
    return f"{limit_s:g}" if math.isfinite(limit_s) else "(none)"


def _script() -> tuple[str, str]:
    """The program, known by its content: a copy of it is no other program."""
    name = sys.argv[0] if getattr(sys, "argv", None) else ""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):  # it cannot be read, so its name has to do
        return name, name or "(none)"
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return name, name
        text = os.read(descriptor, _SCRIPT_BYTES)
    finally:
        os.close(descriptor)
    digest = hashlib.blake2b(text, digest_size=4).hexdigest()
    return digest, f"{os.path.abspath(name)} ({digest})"  # noqa: PTH100 - a tenth of the time


def _ranks(ranks: Sequence[int]) -> str:
    """Name ranks in order, neighbours together."""
    spans = []
    for _, members in itertools.groupby(enumerate(ranks), lambda pair: pair[1] - pair[0]):
        span = [rank for _, rank in members]
        spans.append(f"{span[0]}-{span[-1]}" if len(span) > 1 else f"{span[0]}")
    return f"{'ranks' if len(ranks) > 1 else 'rank'} {', '.join(spans)}"
