"""One collective call on its way through the door: checked, named, handed to the engine.

What each collective asks of its arrays is its own file's matter.
"""

from __future__ import annotations

import math
import time
from enum import IntEnum
from numbers import Real

from ringsync._native import Details
from ringsync._native import Handle as NativeHandle
from ringsync.arrays import Array, as_native
from ringsync.collectives.reduce_op import BUILT_OPS, ReduceOp, Sum
from ringsync.errors import ConfigError
from ringsync.handle import GroupedHandle, Handle
from ringsync.runtime import Runtime, current


class Collective(IntEnum):
    """The native core's numbers."""

    ALLREDUCE = 0
    ALLGATHER = 1
    BROADCAST = 2
    BARRIER = 3
    REDUCE_SCATTER = 4
    ALLTOALL = 5


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
            root: For broadcasts.
            codec: As the caller gave it.
            splits: Rows for each rank, for an alltoall.
            prescale: As the caller gave it.
            postscale: As the caller gave it.

        Raises:
            ConfigError: An argument cannot be used.
            NotInitializedError: Before `init`.
        """
        self._runtime = current()
        seconds = self._runtime.settings.timeout_s if timeout_s is None else timeout_s
        _check(place, self._runtime, op, root, codec)
        if not isinstance(seconds, (int, float)) or not seconds > 0:
            raise ConfigError(
                f"[{place}] timeout_s={timeout_s!r}; seconds above 0 are expected, or None. Leave "
                "it out to take RINGSYNC_TIMEOUT_S."
            )
        if name is not None and not isinstance(name, str):
            raise ConfigError(f"[{place}] name={name!r}; text is expected. Pass str(name).")
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
        self._name = place if name is None else name
        self._arguments = (
            collective,
            native,
            self._name,
            name is not None,
            int(op),
            root,
            seconds,
            Details(splits, dtype, *self._scales) if splits or dtype >= 0 or is_scaled else None,
        )

    def run(self) -> Array:
        """Perform the call on this thread.

        Returns:
            The result.

        Raises:
            RingsyncError: What the public function's docstring lists.
        """
        start_ns = time.monotonic_ns()
        native = self._runtime.engine.call(*self._arguments)
        native.wait()
        # Whoever stands still in a blocking call does not compute, wherever the call is made.
        self._runtime.recorder.mark("wait", start_ns, None, self._name)
        native.check()
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
        handle = self.start_all(arrays)
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
        views = [as_native(array) for array in arrays]
        kinds = {dtype for _, dtype in views}
        details = {dtype: Details((), dtype, *self._scales) for dtype in kinds}
        natives = self._runtime.engine.submit_all(
            self._arguments[0],
            [view for view, _ in views],
            *self._arguments[2:-1],
            [details[dtype] for _, dtype in views],
        )
        return GroupedHandle(natives, self._runtime, self._name, arrays)

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


def _check(place: str, runtime: Runtime, op: ReduceOp, root: int, codec: str | None) -> None:
    if codec is not None:
        raise ConfigError(
            f"[{place}] codec={codec!r} was given; no codec is built yet. Leave it None."
        )
    if not isinstance(op, ReduceOp):
        raise ConfigError(f"[{place}] op={op!r}; a ReduceOp is expected. Use rs.Average or rs.Sum.")
    if op not in BUILT_OPS:
        raise ConfigError(
            f"[{place}] op={op.name} is not built yet; one of "
            f"{', '.join(built.name for built in BUILT_OPS)} is expected. Use one of them."
        )
    # Not isinstance(root, SupportsIndex): a protocol's check takes as long as a small allreduce.
    if not hasattr(root, "__index__") or not 0 <= root < runtime.world.size:
        raise ConfigError(
            f"[{place}] root={root!r} is no rank of this world; 0 <= root < {runtime.world.size} "
            "is expected. Name one of them."
        )
