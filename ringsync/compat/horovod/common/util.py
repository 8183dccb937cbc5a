"""What scripts and tests take from Horovod's module of that name.

All its questions about what was built have one answer here, because nothing is built per library.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")

_cache = functools.cache


def extension_available(ext_base_name: str, verbose: bool = False) -> bool:  # noqa: ARG001 - Horovod's
    """Tell whether a library's tensors are taken.

    Args:
        ext_base_name: Of the library: torch, tensorflow, mxnet.
        verbose: Has no effect.

    Returns:
        True for torch, where it is installed.
    """
    return ext_base_name == "torch" and find_spec(ext_base_name) is not None


def check_extension(ext_name: str, *_: str) -> None:
    """Refuse a library whose tensors are not taken.

    Args:
        ext_name: Its module in Horovod: horovod.torch.

    Raises:
        ImportError: It is none that ringsync has.
    """
    if not extension_available(ext_name.rpartition(".")[2]):
        raise ImportError(
            f"[horovod] {ext_name} is not there: ringsync takes PyTorch's tensors, where torch is "
            "installed. Run: pip install torch.",
            name=ext_name,
        )


def gloo_built(verbose: bool = False) -> bool:  # noqa: ARG001 - Horovod's
    """Tell whether ranks meet without MPI, which Horovod calls Gloo.

    Args:
        verbose: Has no effect.

    Returns:
        True.
    """
    return True


def mpi_built(verbose: bool = False) -> bool:  # noqa: ARG001 - Horovod's
    """Tell whether ranks meet by MPI.

    Args:
        verbose: Has no effect.

    Returns:
        False.
    """
    return False


# No other backend than the one that stands for Gloo.
nccl_built = ddl_built = ccl_built = mpi_built


@contextlib.contextmanager
def env(**variables: str | None) -> Iterator[None]:
    """Set variables of the environment for a while.

    Args:
        **variables: Text by name; None leaves a variable as it is.
    """
    given = {name: text for name, text in variables.items() if text is not None}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text


def num_rank_is_power_2(num_rank: int) -> bool:
    """Tell whether a number of ranks is a power of two.

    Args:
        num_rank: The number.

    Returns:
        True for 1, 2, 4 and so on.
    """
    return num_rank > 0 and num_rank.bit_count() == 1


def split_list(whole: Sequence[T], parts: int) -> list[Sequence[T]]:
    """Cut a list into parts of nearly equal length, longer ones first.

    Args:
        whole: The list.
        parts: Their number.

    Returns:
        The parts.
    """
    length, longer = divmod(len(whole), parts)
    ends = [i * length + min(i, longer) for i in range(parts + 1)]
    return [whole[start:end] for start, end in itertools.pairwise(ends)]


def is_iterable(x: object) -> bool:
    """Tell whether something can be looped over.

    Args:
        x: Anything.

    Returns:
        True if `iter` takes it.
    """
    try:
        iter(x)  # type: ignore[call-overload]  # that is the question
    except TypeError:
        return False
    return True
