"""What ranks must have in common before they exchange gradients; a sentence when they have not."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ringsync.arrays import Array
from ringsync.collectives import allgather_async
from ringsync.collectives.call import told_as
from ringsync.errors import MismatchError
from ringsync.group import ProcessGroup
from ringsync.objects import allgather_object
from ringsync.runtime import current

_DIGEST_BYTES = 16  # no two that differ will ever have the same


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One parameter as its gradient travels.

    Attributes:
        name: Dotted name; equal on all ranks.
        shape: Its shape.
        dtype: Its NumPy dtype's name.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


_Table = list[tuple[TensorSpec, bytes]]  # and the digest of each one's values
_Told = tuple[dict[str, object], _Table]


def check_equal_start(
    specs: Sequence[TensorSpec],
    values: Sequence[Array],
    name: str,
    group: ProcessGroup | None = None,
    is_weighted: bool = False,
) -> None:
    """Compare names, shapes, dtypes and values of the parameters over all ranks.

    Whether gradients are weighed is compared too: ranks that do exchange other things, and later.

    Args:
        specs: This rank's parameters, in registration order.
        values: Their values.
        name: Name of the set of parameters, equal on all ranks.
        group: Whose ranks hold them; None: all.
        is_weighted: This rank's gradients bear a weight.

    Raises:
        MismatchError: The first parameter that differs is named, on every rank alike; or only some
            ranks' gradients bear a weight.
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part.

    Cost: One pass over the values (about 1 GB/s), some 100 bytes sent per parameter; once.
    """
    words: dict[str, object] = {"weighted": is_weighted}
    _compare((words, _table(specs, values)), name, group)


def check_equal_layout(
    specs: Sequence[TensorSpec],
    name: str,
    group: ProcessGroup | None = None,
    words: Mapping[str, object] | None = None,
) -> None:
    """Compare names, shapes and dtypes of parameters over all ranks, but not their values.

    Args:
        specs: This rank's parameters, in an order that is equal on all ranks.
        name: Name of the set of parameters, equal on all ranks.
        group: Whose ranks hold them; None: all.
        words: What else a DistributedOptimizer was told, by the word for it; compared first.

    Raises:
        MismatchError: The first word, or the first parameter, that differs is named, on every rank
            alike.
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part.

    Cost: Some 100 bytes sent per parameter.
    """
    _compare((dict(words or {}), _table(specs)), name, group)


class StartComparison:
    """Compares while gradients are computed what `check_equal_start` compares before.

    Ranks send 16 bytes under a name of their own, and nobody waits before `are_alike`: in backward
    one may wait for the others in a layer, or in an exchange, that they come to before this one.
    Only where those bytes differ do ranks tell each other what they hold.
    """

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        values: Sequence[Array | None],
        name: str,
        group: ProcessGroup | None,
        words: Mapping[str, object],
    ) -> None:
        """Send this rank's.

        Args:
            specs: As for `check_equal_layout`.
            values: The parameters' values, so far as they are compared.
            name: As for `check_equal_layout`.
            group: Likewise.
            words: Likewise.

        Raises:
            RingsyncError: Nothing can be sent.
        """
        self._own = (dict(words), _table(specs, values))
        self._name = name
        self._group = group
        digest = hashlib.blake2b(repr(self._own).encode(), digest_size=_DIGEST_BYTES).digest()
        with told_as(name):
            self._handle = allgather_async(
                np.frombuffer(digest, np.uint8), name=f"{name}.digest", group=group
            )

    def are_alike(self) -> bool:
        """Wait for the others'.

        Returns:
            False, on every rank, if ranks differ in anything.

        Raises:
            MismatchError: A rank has joined.
            PeerLostError: A rank died.
            TimedOutError: A rank did not take part.
        """
        with told_as(self._name):
            told = self._handle.result().reshape(-1, _DIGEST_BYTES)
        return bool((told == told[0]).all())

    def tell(self) -> None:
        """Say wherein they differ, on every rank; of values alone the first rank warns.

        Raises:
            MismatchError: As for `check_equal_layout`.
            PeerLostError: A rank died.
            TimedOutError: A rank did not take part.
        """
        _compare(self._own, self._name, self._group, is_strict=False)


def _table(specs: Sequence[TensorSpec], values: Sequence[Array | None] | None = None) -> _Table:
    digests = [b"" if value is None else _digest(value) for value in values or [None] * len(specs)]
    return list(zip(specs, digests, strict=True))


def _compare(own: _Told, name: str, group: ProcessGroup | None, is_strict: bool = True) -> None:
    with told_as(name):
        told = allgather_object(own, name=f"{name}.start", group=group)
    ranks = range(len(told)) if group is None else group.ranks
    expected, reference = told[0]
    for rank, (found, table) in zip(ranks, told, strict=True):
        words = dict.fromkeys([*expected, *found])
        if word := next((w for w in words if found.get(w) != expected.get(w)), None):
            raise MismatchError(
                f"[{name}] rank {rank} has {word}={found.get(word)}, rank {ranks[0]} has "
                f"{word}={expected.get(word)}. Make the DistributedOptimizer alike on all ranks."
            )
        if difference := _find_difference(table, reference, rank, ranks[0]):
            raise MismatchError(f"[{name}] {difference}")
    values = (
        _find_unlike_values(table, reference, rank, ranks[0])
        for rank, (_, table) in zip(ranks, told, strict=True)
    )
    if difference := next(filter(None, values), ""):
        if is_strict:
            raise MismatchError(f"[{name}] {difference}")
        if current().world.rank == ranks[0]:
            warnings.warn(f"[{name}] {difference}", stacklevel=2)


def _digest(value: Array) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=_DIGEST_BYTES).digest()


def _find_difference(table: _Table, reference: _Table, rank: int, first: int) -> str:
    """A sentence on the first difference; "" when the tables are equal."""
    for (spec, _), (expected, _) in zip(table, reference, strict=False):
        if spec != expected:
            return (
                f"rank {rank} holds '{spec.name}' {spec.shape} {spec.dtype}, rank {first} holds "
                f"'{expected.name}' {expected.shape} {expected.dtype}. Build the same model on all "
                "ranks."
            )
    if len(table) != len(reference):
        return (
            f"rank {rank} has {len(table)} parameters, rank {first} has {len(reference)}. Build "
            "the same model on all ranks."
        )
    return ""


def _find_unlike_values(table: _Table, reference: _Table, rank: int, first: int) -> str:
    """A sentence on the first parameter of unlike values; "" when there is none."""
    for (spec, digest), (_, expected) in zip(table, reference, strict=True):
        if digest != expected:
            return (
                f"'{spec.name}': its values at the first step differ between rank {rank} and rank "
                f"{first}. Pass those of rank {first} to broadcast_parameters before training."
            )
    return ""
