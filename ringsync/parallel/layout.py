"""What ranks must have in common before they exchange gradients; a sentence when they have not."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from ringsync.arrays import Array
from ringsync.collectives import allgather_async
from ringsync.collectives.call import told_as
from ringsync.errors import MismatchError
from ringsync.group import ProcessGroup
from ringsync.runtime import current

_DIGEST_BYTES = 16  # no two values that differ will ever have the same


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One parameter as its gradient travels.

    Attributes:
        name: Dotted name; equal on all ranks.
        shape: Its shape.
        dtype: Its NumPy dtype's name.
        device: Kind of the device on which it lies.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str = "cpu"

    def described_to(self, other: TensorSpec) -> str:
        """Describe it as messages do that compare two.

        Args:
            other: With which it is compared.

        Returns:
            Its name, shape and dtype; its device, unless both lie on the host.
        """
        is_told = {self.device, other.device} != {"cpu"}
        where = f" on {self.device}" if is_told else ""
        return f"'{self.name}' {self.shape} {self.dtype}{where}"


_Table = list[tuple[TensorSpec, str]]  # and the digest of each one's values


def check_equal_start(
    specs: Sequence[TensorSpec],
    values: Iterable[Array],
    name: str,
    group: ProcessGroup | None = None,
    is_weighted: bool = False,
) -> None:
    """Compare names, shapes, dtypes, devices and values of the parameters over all ranks.

    Whether gradients are weighed is compared too: ranks that do exchange other things, and later.

    Args:
        specs: This rank's parameters, in registration order.
        values: Their values, on the host.
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
    comparison = StartComparison(specs, values, name, group, {"weighted": is_weighted})
    if difference := comparison.finish():
        raise MismatchError(difference)


def check_equal_layout(
    specs: Sequence[TensorSpec], name: str, group: ProcessGroup | None = None
) -> None:
    """Compare names, shapes, dtypes and devices of tensors over all ranks, but not their values.

    Args:
        specs: This rank's tensors, in an order that is equal on all ranks.
        name: Of the comparison, equal on all ranks.
        group: Whose ranks hold them; None: all.

    Raises:
        MismatchError: The first tensor that differs is named, on every rank alike.
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part.

    Cost: Some 100 bytes sent per tensor.
    """
    StartComparison(specs, [None] * len(specs), name, group, {}).finish()


class StartComparison:
    """Compares over ranks what they have and were told, while gradients are computed.

    Ranks send it under a name of its own, and nobody waits before `finish`: in backward one may
    wait for the others in a layer, or in an exchange, that they come to before this one.

    Attributes:
        is_unlike: `finish` has found that ranks differ in more than values.
    """

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        values: Iterable[Array | None],
        name: str,
        group: ProcessGroup | None,
        words: Mapping[str, object],
    ) -> None:
        """Send this rank's.

        Args:
            specs: This rank's parameters, in an order that is equal on all ranks.
            values: Their values on the host, so far as they are compared.
            name: Name of the set of parameters, equal on all ranks.
            group: Whose ranks hold them; None: all.
            words: What else a DistributedOptimizer was told, by the word for it; compared first.

        Raises:
            RingsyncError: Nothing can be sent.
        """
        self.is_unlike = False
        self._name = name
        self._ranks = range(current().world.size) if group is None else group.ranks
        table = [
            (*astuple(spec), "" if value is None else _digest(value))
            for spec, value in zip(specs, values, strict=True)
        ]
        # A line each, which tells where the next rank's begins.
        line = json.dumps([dict(words), table]).encode() + b"\n"
        with told_as(name):
            self._handle = allgather_async(
                np.frombuffer(line, np.uint8), name=f"{name}.start", group=group
            )

    def finish(self) -> str:
        """Wait for the others'.

        Returns:
            On every rank alike, a sentence on the first parameter whose values alone differ; "" if
            there is none.

        Raises:
            MismatchError: The first word, or the first parameter, that differs is named, on every
                rank alike; or a rank has joined.
            PeerLostError: A rank died.
            TimedOutError: A rank did not take part.
        """
        with told_as(self._name):
            lines = self._handle.result().tobytes().splitlines()
        if len(set(lines)) == 1:
            return ""
        told = [(words, _table(rows)) for words, rows in map(json.loads, lines)]
        first, (expected, reference) = self._ranks[0], told[0]
        for rank, (found, table) in zip(self._ranks, told, strict=True):
            difference = _find_unlike_words(found, expected, rank, first)
            difference = difference or _find_difference(table, reference, rank, first)
            if difference:
                self.is_unlike = True
                raise MismatchError(f"[{self._name}] {difference}")
        values = (
            _find_unlike_values(table, reference, rank, first)
            for rank, (_, table) in zip(self._ranks, told, strict=True)
        )
        difference = next(filter(None, values), "")
        return difference and f"[{self._name}] {difference}"


def warn_once(difference: str, group: ProcessGroup | None) -> None:
    """Have the first rank warn of values that differ.

    Args:
        difference: What `StartComparison.finish` returned.
        group: Whose ranks were compared; None: all.
    """
    first = 0 if group is None else group.ranks[0]
    if difference and current().world.rank == first:
        warnings.warn(difference, stacklevel=2)


def _table(rows: Sequence[tuple[str, Sequence[int], str, str, str]]) -> _Table:
    return [(TensorSpec(row[0], tuple(row[1]), row[2], row[3]), row[4]) for row in rows]


def _digest(value: Array) -> str:
    contiguous = np.ascontiguousarray(value)
    return hashlib.blake2b(contiguous.data, digest_size=_DIGEST_BYTES).hexdigest()


def _find_unlike_words(
    found: Mapping[str, object], expected: Mapping[str, object], rank: int, first: int
) -> str:
    """A sentence on the first word that differs; "" when there is none."""
    for word in dict.fromkeys([*expected, *found]):
        if found.get(word) != expected.get(word):
            return (
                f"rank {rank} has {word}={found.get(word)}, rank {first} has "
                f"{word}={expected.get(word)}. Make the DistributedOptimizer alike on all ranks."
            )
    return ""


def _find_difference(table: _Table, reference: _Table, rank: int, first: int) -> str:
    """A sentence on the first difference; "" when the tables are equal."""
    for (spec, _), (expected, _) in zip(table, reference, strict=False):
        if spec != expected:
            return (
                f"rank {rank} holds {spec.described_to(expected)}, rank {first} holds "
                f"{expected.described_to(spec)}. Build the same model on all ranks."
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
