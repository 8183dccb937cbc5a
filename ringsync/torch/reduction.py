"""What a reduction of tensors is asked for; an allreduce as a call, and its gradient.

`scattering` asks for reductions of its own in the same words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ringsync.collectives import Adasum, Average, ReduceOp
from ringsync.collectives.call import PLAIN, Terms
from ringsync.group import ProcessGroup, ranks_of
from ringsync.kinds import Collective
from ringsync.torch.adasum import adasum_call
from ringsync.torch.asking import checked_number, key_of, terms_of
from ringsync.torch.compression import Compressor, check_compression
from ringsync.torch.devices import keep_for_stream
from ringsync.torch.handles import Call, perform
from ringsync.torch.process_sets import ProcessSet, group_of
from ringsync.torch.tensors import as_array, check_tensor, memory_of, through, written


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a reduction is asked for, but for its tensors.

    Attributes:
        place: The public function's name, for messages.
        name: As the caller gave it.
        op: How several values become one.
        prescale: Factor before.
        postscale: Factor after.
        process_set: Whose ranks reduce.
    """

    place: str
    name: str | None
    op: ReduceOp
    prescale: float
    postscale: float
    process_set: ProcessSet

    def __post_init__(self) -> None:
        """Make floats of the factors.

        Raises:
            ValueError: One is no finite number.
        """
        for field, given in (("prescale", self.prescale), ("postscale", self.postscale)):
            if type(given) is not float or not math.isfinite(given):
                number = checked_number(self.place, f"{field}_factor", given)
                object.__setattr__(self, field, number)

    @property
    def is_grouped(self) -> bool:
        """Of several tensors, whose names have numbers."""
        return self.place.startswith("grouped_")

    def terms(
        self, tensors: Sequence[torch.Tensor], group: ProcessGroup | None
    ) -> tuple[Terms, int]:
        """Tell what the engine does, and what is left to divide by.

        An average multiplies by 1/n. Of another number of ranks than a power of 2 that is not the
        division that a script compares with, so sums of wide floats are divided here.

        Args:
            tensors: What is reduced.
            group: Whose ranks reduce; None: all.

        Returns:
            The terms, and the divisor.
        """
        ranks = len(ranks_of(self.place, group))
        is_wide = all(tensor.dtype in {torch.float32, torch.float64} for tensor in tensors)
        op, after = ReduceOp(self.op), self.postscale
        if op is not Average or not is_wide or 1 / ranks * (after * ranks) != after:
            return terms_of(self.place, op, self.prescale, after), 1
        is_exact = ranks & (ranks - 1) == 0
        rest = after if is_exact else after * ranks
        return terms_of(self.place, op, self.prescale, rest), 1 if is_exact else ranks


def allreduce_call(
    asked: Reduction, tensors: Sequence[torch.Tensor], *, is_in_place: bool = False
) -> Call:
    """Ask for an allreduce.

    Args:
        asked: Its terms.
        tensors: One, or several if it is grouped.
        is_in_place: They are overwritten. Else they are copied now.

    Returns:
        The call, which makes a tensor, or a list of them if it is grouped.

    Raises:
        ValueError: An argument cannot be used.
        HorovodInternalError: There is no engine.
    """
    group = group_of("Allreduce", asked.process_set)
    key = key_of(asked.place, asked.name)
    checked = [*map(check_tensor, tensors)]
    terms, divisor = (PLAIN, 1) if asked.op is Adasum else asked.terms(checked, group)
    values = [memory_of(one, asked.prescale, is_copy=not is_in_place) for one in checked]

    def finish(_: object) -> Any:
        results = [divided(keep_for_stream(one), divisor) for one in values]
        if is_in_place:
            results = [*map(written, tensors, results)]
        return results if asked.is_grouped else results[0]

    if asked.op is Adasum:
        factors = (asked.prescale, asked.postscale)
        return adasum_call(asked.place, values, key, group, factors, finish)
    arrays = [as_array(one) for one in values]
    array = arrays if asked.is_grouped else arrays[0]
    return Call(asked.place, Collective.ALLREDUCE, array, key, group, finish, terms)


def divided(tensor: torch.Tensor, divisor: int) -> torch.Tensor:
    """Divide a sum that is to become an average.

    Args:
        tensor: Overwritten.
        divisor: What is left to divide by.

    Returns:
        `tensor`.
    """
    return tensor if divisor == 1 else tensor.div_(divisor)


def compressed(
    function: type[torch.autograd.Function],
    asked: Reduction,
    tensors: Sequence[torch.Tensor],
    compression: type[Compressor],
) -> list[torch.Tensor]:
    """Reduce tensors in the form in which they travel; gradients flow where any is wanted.

    Args:
        function: Makes new tensors of `asked` and the compressed ones.
        asked: The terms.
        tensors: One, or several if it is grouped.
        compression: As the caller gave it.

    Returns:
        New tensors, restored.

    Raises:
        ValueError: `compression` compresses nothing.
    """
    check_compression(asked.place, compression)
    wires = [compression.compress(check_tensor(tensor)) for tensor in tensors]
    reduced = through(function, asked, *(wire for wire, _ in wires))
    return [
        compression.decompress(one, context)
        for one, (_, context) in zip(reduced, wires, strict=True)
    ]


class Allreduce(torch.autograd.Function):
    """The gradient of an allreduce is reduced alike."""

    @staticmethod
    def forward(ctx: Any, asked: Reduction, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Reduce copies."""
        ctx.asked = asked
        reduced = perform(allreduce_call(asked, tensors))
        return tuple(reduced) if asked.is_grouped else (reduced,)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        """Reduce what comes back."""
        # Its name may be in flight by now, and ranks go backward in one order.
        asked = replace(ctx.asked, name=None)
        return (None, *through(Allreduce, asked, *gradients))
