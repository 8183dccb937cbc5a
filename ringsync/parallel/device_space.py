"""Gradients in CuPy's memory: the space of parameters that lie on a GPU.

Everything is given to CuPy's current stream, which its arrays name to the engine, and which comes
behind an exchange; nothing waits for the GPU.
"""

from __future__ import annotations

from ringsync.device_arrays import load_cupy
from ringsync.parallel.space import Place


class DeviceSpace:
    """Memory of CuPy's current GPU."""

    def __init__(self) -> None:
        """Load CuPy.

        Raises:
            ConfigError: It cannot be loaded, or finds no GPU.
        """
        self._cupy = load_cupy("DistributedOptimizer")

    def zeros(self, count: int, dtype: str) -> Place:
        """Make a flat array of zeros.

        Args:
            count: Of elements.
            dtype: NumPy's name.

        Returns:
            The array.
        """
        return self._cupy.zeros(count, dtype)

    def argument(self, memory: Place) -> object:
        """Give a bucket to a collective.

        Args:
            memory: The bucket's.

        Returns:
            `memory`, which names the current stream.
        """
        return memory

    def copy(self, view: Place, gradient: Place) -> None:
        """Copy a gradient to its place.

        Args:
            view: Its place.
            gradient: Of the same shape.
        """
        self._cupy.copyto(view, gradient)

    def scale(self, memory: Place, factor: float) -> None:
        """Multiply values.

        Args:
            memory: Overwritten.
            factor: By which.
        """
        self._cupy.multiply(memory, factor, out=memory)

    def clear(self, view: Place) -> None:
        """Overwrite with zeros.

        Args:
            view: Overwritten.
        """
        view.fill(0)

    def stream(self) -> object:
        """Tell where work is queued.

        Returns:
            CuPy's current stream.
        """
        return self._cupy.cuda.get_current_stream()
