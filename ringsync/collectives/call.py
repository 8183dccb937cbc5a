"""One collective call on its way through the door: checked, named, handed to the engine.

What each collective asks of its arrays is its own file's matter.
"""

from __future__ import annotations

import math
import time
from enum import IntEnum
from numbers import Real
from typing import NoReturn

from ringsync._native import Details
from ringsync._native import Handle as NativeHandle
from ringsync.arrays import Array, as_native
from ringsync.collectives.reduce_op import Adasum, ReduceOp, Sum
from ringsync.errors import ConfigError
from ringsync.handle import GroupedHandle, Handle
from ringsync.runtime import current

# 30 years: an int beyond every float is as good.
_LONGEST_S = 1e9


class Collective(IntEnum):
    """The native core's numbers."""

    ALLREDUCE = 0
    ALLGATHER = 1
    BROADCAST = 2
    BARRIER = 3
    REDUCE_SCATTER = 4
    ALLTOALL = 5
    SEND = 6


# Instead of a peer: every rank takes part. The native core's number.
ALL_RANKS = -1

# Their result is memory of the engine's; the others' is the caller's array.
_WITH_RESULT = frozenset({Collective.ALLGATHER, Collective.REDUCE_SCATTER, Collective.ALLTOALL})


class Call:
    """One checked call on its way through the door."""

    __slots__ = ("_arguments", "_array", "_name", "_runtime", "_scales")

    def __init__(  # noqa: PLR0913 - all that distinguishes one call from another
        self,
        place: str,
        collective: Collective,
        array: Array | None,
        name: str | None,
        timeout_s: float | None,
        *,
        op: ReduceOp = Sum,
        root: int = 0,
        codec: str | None = None,
        splits: tuple[int, ...] = (),
        peer: int = ALL_RANKS,
        prescale: float = 1.0,
        postscale: float = 1.0,
    ) -> None:
        """Check the arguments and give the call its name.

        Args:
            place: The public function's name, for messages.
            collective: Which collective.
            array: What moves; None for a barrier.
            name: As the caller gave it.
            timeout_s: As the caller gave it.
            op: For reductions.
            root: For broadcasts and sends, the rank that gives.
            codec: As the caller gave it.
            splits: Rows for each rank, for an alltoall.
            peer: The other end of a send.
            prescale: As the caller gave it.
            postscale: As the caller gave it.

        Raises:
            ConfigError: An argument cannot be used.
            NotInitializedError: Before `init`.
        """
        self._runtime = runtime = current()
        if codec is not None or type(op) is not ReduceOp or op is Adasum:
            _refuse(place, op, codec)
        if type(root) is not int or not 0 <= root < runtime.world.size:
            _check_root(place, root, runtime.world.size)
        seconds = runtime.settings.timeout_s
        if timeout_s is not None:
            seconds = _checked_seconds(place, timeout_s)
        if name is not None:
            _check_name(place, name)
        self._array = array
        native, dtype = (None, -1) if array is None else as_native(array)
        self._scales = (prescale, postscale)
        # The test of types alone keeps arrays out of the comparison.
        is_scaled = not (type(prescale) is type(postscale) is float and prescale == postscale == 1)
        if is_scaled:
            self._scales = (
                _checked_scale(place, "prescale", prescale),
                _checked_scale(place, "postscale", postscale),
            )
        details = None
        if splits or dtype >= 0 or is_scaled or peer != ALL_RANKS:
            details = Details(splits, dtype, *self._scales, peer)
        self._name = place if name is None else name
        self._arguments = (
            collective,
            native,
            self._name,
            name is not None,
            op,
            root,
            seconds,
            details,
        )

    def run(self) -> Array:
        """Perform the call on this thread.

        Returns:
            The result.

        Raises:
            RingsyncError: What the public function's docstring lists.
        """
        start_ns = time.monotonic_ns()
        try:
            native = self._runtime.engine.run(*self._arguments)
        finally:
            # Whoever stands still in a blocking call does not compute, wherever the call is made.
            self._runtime.recorder.mark("wait", start_ns, None, self._name)
        if native is None:
            return self._array  # type: ignore[return-value]  # a barrier's result is not looked at
        return self._finish(native)

    def start(self) -> Handle:
        """Hand the call to the engine's thread.

        Returns:
            Its handle.

        Raises:
            DuplicateNameError: An operation of this name is in flight.
            ConfigError: The request is impossible whatever the other ranks ask for.
        """
        native = self._runtime.engine.submit(*self._arguments)
        return Handle(native, self._runtime, self._name, self._finish)

    def run_all(self, arrays: list[Array]) -> list[Array]:
        """Perform the call on each of `arrays` and wait for all.

        Args:
            arrays: What moves, in place of the call's own array.

        Returns:
            `arrays`.

        Raises:
            RingsyncError: What the public function's docstring lists.
        """
        start_ns = time.monotonic_ns()
        natives = self._runtime.engine.call_all(*self._arguments_for(arrays))
        handle = GroupedHandle(natives, self._runtime, self._name, arrays)
        try:
            return handle.result()
        finally:
            self._runtime.recorder.mark("wait", start_ns, None, self._name)

    def start_all(self, arrays: list[Array]) -> GroupedHandle:
        """Hand the call on each of `arrays` to the engine's thread, in one stroke.

        Args:
            arrays: What moves, in place of the call's own array.

        Returns:
            One handle for all.

        Raises:
            DuplicateNameError: An operation of one of the names is in flight; none was submitted.
            ConfigError: A request is impossible whatever the other ranks ask for.
        """
        natives = self._runtime.engine.submit_all(*self._arguments_for(arrays))
        return GroupedHandle(natives, self._runtime, self._name, arrays)

    def _arguments_for(
        self, arrays: list[Array]
    ) -> tuple[Collective, list[Array], str, bool, ReduceOp, int, float, list[Details]]:
        collective, _, name, is_named, op, root, seconds, _ = self._arguments
        views = [as_native(array) for array in arrays]
        kinds = {dtype for _, dtype in views}
        details = {dtype: Details((), dtype, *self._scales) for dtype in kinds}
        natives = [view for view, _ in views]
        return (
            collective,
            natives,
            name,
            is_named,
            op,
            root,
            seconds,
            [details[dtype] for _, dtype in views],
        )

    def _finish(self, native: NativeHandle) -> Array:
        if self._array is None or self._arguments[0] not in _WITH_RESULT:
            return self._array  # type: ignore[return-value]  # a barrier's result is not looked at
        data, shape = native.result(self._array.itemsize)
        return data.view(self._array.dtype).reshape(shape)


def _checked_scale(place: str, which: str, scale: float) -> float:
    try:
        if isinstance(scale, Real) and math.isfinite(number := float(scale)):
            return number
    except OverflowError:  # an int beyond every float
        pass
    raise ConfigError(
        f"[{place}] {which}={scale!r}; a finite number is expected. Leave it out to scale by 1."
    )


# What a call is refused for is looked at more closely only where the first look found something: a
# call takes as long as a small allreduce.


def _refuse(place: str, op: ReduceOp, codec: str | None) -> NoReturn:
    if codec is not None:
        raise ConfigError(
            f"[{place}] codec={codec!r} was given; no codec is built yet. Leave it None."
        )
    if not isinstance(op, ReduceOp):
        raise ConfigError(f"[{place}] op={op!r}; a ReduceOp is expected. Use rs.Average or rs.Sum.")
    raise ConfigError(
        f"[{place}] op={op.name} is not built yet; one of Average, Sum, Min, Max, Product is "
        "expected. Use one of them."
    )


def _check_root(place: str, root: int, size: int) -> None:
    # Not isinstance(root, SupportsIndex): a protocol's check takes as long as a small allreduce.
    if not hasattr(root, "__index__") or not 0 <= root < size:
        raise ConfigError(
            f"[{place}] root={root!r} is no rank of this world; 0 <= root < {size} is expected. "
            "Name one of them."
        )


def _check_name(place: str, name: str) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"[{place}] name={name!r}; text is expected. Pass str(name).")
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"[{place}] name={name!r} holds half of a character; text is expected. Correct it."
            ) from None


def _checked_seconds(place: str, timeout_s: float) -> float:
    if not isinstance(timeout_s, Real) or not timeout_s > 0:
        raise ConfigError(
            f"[{place}] timeout_s={timeout_s!r}; seconds above 0 are expected, or None. Leave it "
            "out to take RINGSYNC_TIMEOUT_S."
        )
    return float(min(timeout_s, _LONGEST_S))
