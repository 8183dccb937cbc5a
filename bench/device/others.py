"""The same bucket moved by PyTorch and by CuPy: what people have without a fusion kernel.

Each contender is a function of the turn, on the stream that is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.device.abi import Dtype
from bench.device.sets import MemorySets
from bench.device.values import NUMPY

Run = Callable[[int], None]
_TYPES = {dtype: values.str for dtype, values in NUMPY.items()} | {Dtype.BFLOAT16: "<i2"}


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to move a bucket.

    Attributes:
        name: Library and call.
        run: Puts the work onto the stream.
        most_turns: Of a round, where a turn is made of many launches.
    """

    name: str
    run: Run
    most_turns: int


class _Memory:
    """Memory of a device as other libraries take it."""

    def __init__(self, address: int, count: int, dtype: Dtype) -> None:
        self.__cuda_array_interface__ = {
            "shape": (count,),
            "typestr": _TYPES[dtype],
            "data": (address, False),
            "version": 3,
            "stream": None,
        }


def torch_contenders(sets: MemorySets, stream: int, *, is_pack: bool) -> list[Contender]:
    """Make those of PyTorch; none where it is not there."""
    try:
        import torch  # noqa: PLC0415 - where it is not there its figures are left out
    except ImportError:
        return []
    if not torch.cuda.is_available():
        return []
    # Torch does not type its streams and graphs.
    external: Any = torch.cuda.ExternalStream(stream)  # type: ignore[no-untyped-call]

    def view(address: int, count: int, dtype: Dtype) -> Any:  # noqa: ANN401 - torch has no types
        tensor = torch.as_tensor(_Memory(address, count, dtype), device="cuda")
        return tensor.view(torch.bfloat16) if dtype == Dtype.BFLOAT16 else tensor

    tensors, parts = _views(sets, view)
    wholes = [view(fused, sets.elements, sets.dtypes[1]) for fused in sets.fused]
    total = sum(sets.counts)

    def foreach(turn: int) -> None:
        turn %= sets.turns
        to, source = (parts, tensors) if is_pack else (tensors, parts)
        with torch.cuda.stream(external):
            # It has no public name.
            torch._foreach_copy_(to[turn], source[turn])

    def cat(turn: int) -> None:
        turn %= sets.turns
        with torch.cuda.stream(external):
            torch.cat(tensors[turn], out=wholes[turn][:total])

    made = [Contender("torch._foreach_copy_", foreach, 50)]
    if is_pack and sets.dtypes[0] == sets.dtypes[1]:
        made.append(Contender("torch.cat", cat, 50))
    return made


def cupy_contenders(sets: MemorySets, stream: int, *, is_pack: bool) -> list[Contender]:
    """Make those of CuPy; none where it is not there, or has no such type."""
    if Dtype.BFLOAT16 in sets.dtypes:
        return []
    try:
        import cupy  # noqa: PLC0415 - as above
    except ImportError:
        return []
    if not cupy.cuda.is_available():
        return []
    external = cupy.cuda.ExternalStream(stream)

    def view(address: int, count: int, dtype: Dtype) -> Any:  # noqa: ANN401 - cupy has no types
        return cupy.asarray(_Memory(address, count, dtype))

    tensors, parts = _views(sets, view)

    def copies(turn: int) -> None:
        turn %= sets.turns
        to, source = (parts, tensors) if is_pack else (tensors, parts)
        with external:
            for one, other in zip(to[turn], source[turn], strict=True):
                cupy.copyto(one, other)

    return [Contender("cupy by tensor", copies, 3)]


def _views(sets: MemorySets, view: Callable[..., Any]) -> tuple[list[list[Any]], list[list[Any]]]:
    item_bytes = NUMPY[sets.dtypes[1]].itemsize
    tensors = [
        [view(at, count, sets.dtypes[0]) for at, count in zip(turn, sets.counts, strict=True)]
        for turn in sets.tensors
    ]
    parts = [
        [
            view(fused + first * item_bytes, count, sets.dtypes[1])
            for first, count in zip(sets.firsts, sets.counts, strict=True)
        ]
        for fused in sets.fused
    ]
    return tensors, parts
