"""Memory of a GPU for gradients: one flat tensor per dtype, whose slices are buckets.

Nothing here waits for the GPU. What is exchanged, and when, is the reducer's matter.
"""

from __future__ import annotations

from typing import Any

import torch

from ringsync.parallel.space import Place
from ringsync.torch import devices
from ringsync.torch.tensors import as_array


class DeviceSpace:
    """The GPU on which one set of parameters lies; all that is done there is queued in order."""

    def __init__(self, parameter: torch.Tensor) -> None:
        """Take note of the GPU.

        Args:
            parameter: One that lies there.
        """
        # Of no elements: it tells the GPU, and keeps nothing of the parameter.
        self._like = parameter.detach().new_empty(0)
        self._stream: Any = None  # in which the latest gradient was made

    def follow(self) -> None:
        """Have the current stream wait for the one in which the gradient before this was made.

        Autograd goes back in the streams of the forward pass, and a bucket of gradients of several
        is exchanged in the order of the last one.
        """
        stream = devices.current_stream(self._like)
        if self._stream is not None and stream != self._stream:
            stream.wait_stream(self._stream)
        self._stream = stream

    def zeros(self, count: int, dtype: str) -> Place:
        """Make a flat tensor of zeros.

        Args:
            count: Of elements.
            dtype: NumPy's name, which is torch's, too.

        Returns:
            The tensor.
        """
        return self._like.new_zeros(count, dtype=getattr(torch, dtype))

    def argument(self, memory: Place) -> object:
        """Give a bucket to a collective, in the current stream.

        Args:
            memory: The bucket's.

        Returns:
            Its description.
        """
        return as_array(memory)

    def copy(self, view: Place, gradient: Place) -> None:
        """Copy a gradient to its place.

        Args:
            view: Its place.
            gradient: Of the same shape.
        """
        view.copy_(gradient)

    def scale(self, memory: Place, factor: float) -> None:
        """Multiply values.

        Args:
            memory: Overwritten.
            factor: By which.
        """
        memory.mul_(factor)

    def clear(self, view: Place) -> None:
        """Overwrite with zeros.

        Args:
            view: Overwritten.
        """
        view.zero_()

    def stream(self) -> object:
        """Tell where what follows an exchange is queued.

        Returns:
            The current stream. The next gradient, if it is made in another one, waits for it.
        """
        self.follow()
        return self._stream
