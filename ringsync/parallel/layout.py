"""What ranks must have in common before they exchange gradients; a sentence when they have not."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ringsync.arrays import Array
from ringsync.collectives.call import told_as
from ringsync.errors import MismatchError
from ringsync.group import ProcessGroup
from ringsync.objects import allgather_object
from ringsync.runtime import current


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


def check_equal_start(
    specs: Sequence[TensorSpec],
    values: Sequence[Array],
    name: str,
    group: ProcessGroup | None = None,
    is_weighted: bool = False,
    is_strict: bool = True,
) -> None:
    """Compare names, shapes, dtypes and values of the parameters over all ranks.

    Whether gradients are weighed is compared too: ranks that do exchange other things, and later.

    Args:
        specs: This rank's parameters, in registration order.
        values: Their values.
        name: Name of the set of parameters, equal on all ranks.
        group: Whose ranks hold them; None: all.
        is_weighted: This rank's gradients bear a weight.
        is_strict: Unlike values are an error; else the first rank warns of them.

    Raises:
        MismatchError: The first parameter that differs is named, on every rank alike; or only some
            ranks' gradients bear a weight.
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part.

    Cost: One pass over the values (about 1 GB/s), some 100 bytes sent per parameter; once.
    """
    words = {"weighted": is_weighted}
    _compare(specs, [_digest(value) for value in values], name, group, words, is_strict)


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
    _compare(specs, [b""] * len(specs), name, group, words or {})


def _compare(
    specs: Sequence[TensorSpec],
    digests: Sequence[bytes],
    name: str,
    group: ProcessGroup | None,
    words: Mapping[str, object],
    is_strict: bool = True,
) -> None:
    own = (dict(words), list(zip(specs, digests, strict=True)))
    with told_as(name):
        told = allgather_object(own, name=f"{name}.start", group=group)
    ranks = range(len(told)) if group is None else group.ranks
    expected, reference = told[0]
    for rank, (found, table) in zip(ranks, told, strict=True):
        if word := next((word for word in expected if found.get(word) != expected[word]), None):
            raise MismatchError(
                f"[{name}] rank {rank} has {word}={found.get(word)}, rank {ranks[0]} has "
                f"{word}={expected[word]}. Make the DistributedOptimizer alike on all ranks."
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
    return hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=16).digest()


_Table = list[tuple[TensorSpec, bytes]]


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
