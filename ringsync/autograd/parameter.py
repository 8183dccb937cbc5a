"""Parameters: the tensors that training changes.

Not an initialiser: what values one starts from is the layer's decision.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from ringsync.autograd.tensor import Tensor
from ringsync.namespaces import to_device


class Parameter(Tensor):
    """A leaf that requires a gradient and has a name.

    Attributes:
        name: Dotted path in the network, such as "0.weight"; "" until a network gives one.

    Example:
        >>> weight = Parameter(np.zeros((2, 3), np.float32), name="weight")
    """

    __slots__ = ("name",)

    def __init__(self, data: ArrayLike, name: str = "") -> None:
        """Wrap `data`, sharing its memory.

        Args:
            data: Of a floating dtype.
            name: How errors and exchanges between processes call it.
        """
        super().__init__(data, requires_grad=True)
        self.name = name

    def move(self, device: str) -> None:
        """Bring values and gradient to a device and stay the same parameter; networks call this.

        Args:
            device: As `check_device` accepts it.
        """
        if self.device == device:
            return
        self.data = to_device(self.data, device)
        self.grad = None if self.grad is None else to_device(self.grad, device)
        self.grad_buffer = None  # it lies where the parameter was

    def __repr__(self) -> str:
        """Name, shape and dtype; the values would fill the screen."""
        return f"Parameter({self.name!r}, shape={self.shape}, dtype={self.dtype})"
