"""Tensors: arrays that remember how they were computed, and the one door through which they do.

Not the rules of the operations (ops) nor the backward pass (tape). Knows nothing of ranks; whoever
wants to follow gradients sets a leaf's `grad_buffer` and `observer`.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ringsync.autograd.operators import Operators
from ringsync.autograd.primitive import Array, Primitive
from ringsync.autograd.recording import is_recording
from ringsync.autograd.tape import Leaf, Node, PassObserver, backward_pass
from ringsync.errors import MismatchError
from ringsync.namespaces import (
    as_array,
    beside,
    check_device,
    check_one_device,
    device_of,
    is_array,
    namespace_of,
    to_device,
)


class BackwardObserver(PassObserver, Protocol):
    """Whoever must know, during a backward pass, which gradients will not change any more.

    Set as `observer` on leaves; one object may watch many. The calls come on the thread that called
    `backward`; an exception from one ends the pass.
    """

    def gradient_final(self, tensor: Tensor) -> None:
        """Hear, in the midst of the pass, that the last contribution to `tensor` has been added.

        Args:
            tensor: The watched leaf; its `grad` is complete.
        """


class Tensor(Operators["Tensor"]):
    """An array that records what is done to it, for `backward`.

    CuPy's arrays stay where they are, everything else is NumPy's; `to` brings values elsewhere.
    Keeps the dtype it is given and shares the memory; only Python numbers and lists, which have no
    dtype of their own, become float32 where NumPy would say float64. Numbers and NumPy scalars in
    arithmetic take the tensor's dtype.

    Attributes:
        data: The array. Replace or write it between passes, never between a forward and its
            backward.
        grad: Gradient of the last backward passes, or None. `zero_grad` sets it to None.
        requires_grad: Whether `backward` reaches this tensor.
        grad_buffer: Where the first gradient is to be written and kept, or None.
        observer: Who hears when the gradient is final, or None.
        node: The operation that computed it, or None for a leaf.

    Example:
        >>> w = Tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> w.grad
        array([2., 4.], dtype=float32)
    """

    __slots__ = ("__weakref__", "data", "grad", "grad_buffer", "node", "observer", "requires_grad")

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        """Wrap `data`.

        Args:
            data: An array, number or nested list.
            requires_grad: Collect gradients here; needs a floating dtype.

        Raises:
            MismatchError: A gradient is asked of integers.
        """
        array = as_array(data)
        if array is not data and array.dtype == np.float64:
            is_typed = isinstance(data, np.generic) or is_array(data)
            array = array if is_typed else array.astype(np.float32)
        if requires_grad and not np.issubdtype(array.dtype, np.floating):
            raise MismatchError(
                f"[tensor] requires_grad on dtype {array.dtype}; gradients need a floating dtype."
                " Convert with .astype(numpy.float32)."
            )
        self.data = array
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.grad_buffer: Array | None = None
        self.observer: BackwardObserver | None = None
        self.node: Node | None = None

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        """A copy has values of its own and nobody who watches it."""
        names = [name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ())]
        state = {name: getattr(self, name) for name in names if name != "__weakref__"}
        return None, {**state, "node": None, "observer": None, "grad_buffer": None}

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    @property
    def device(self) -> str:
        """Where the array lies: "cpu", or "cuda" for one of CuPy's."""
        return device_of(self.data)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self.data.dtype

    def backward(self, gradient: ArrayLike | None = None) -> None:
        """Add the gradient of this tensor to `grad` of every leaf it was computed from.

        Args:
            gradient: Of some scalar by this tensor, same shape; None means 1, for one element.

        Raises:
            MismatchError: Nothing here requires a gradient, `gradient` is missing or of another
                shape, or the graph has served a backward already.
        """
        start = self._initial_gradient(gradient)
        if self.node is not None:
            backward_pass(self.node, start)
            return
        if self.observer is not None:
            self.observer.backward_began()
        self.add_gradient(start, is_fresh=False)
        self.announce_final()
        if self.observer is not None:
            self.observer.backward_ended()

    def detach(self) -> Tensor:
        """The same array, without its past.

        Returns:
            A leaf that shares the memory and requires no gradient.
        """
        return Tensor(self.data)

    def to(self, device: str) -> Tensor:
        """The same values on a device, without their past.

        Args:
            device: "cpu", or "cuda": CuPy's current GPU.

        Returns:
            A leaf that requires no gradient; it shares the memory of what lies there already.

        Raises:
            ConfigError: There is no such device, or CuPy cannot use it.

        Example:
            >>> logits = net(Tensor(x).to("cuda"))
        """
        check_device(device)
        return Tensor(to_device(self.data, device))

    def add_gradient(self, gradient: Array, *, is_fresh: bool) -> None:
        """Add one contribution to `grad`; the tape calls this.

        Args:
            gradient: Of this tensor's shape.
            is_fresh: Nobody else holds `gradient`, so that it may be kept without a copy.

        Raises:
            MismatchError: The shape is another one: the rule of some operation is wrong.
        """
        if gradient.shape != self.shape:
            raise MismatchError(
                f"[backward] a gradient of shape {gradient.shape} reached a tensor of shape"
                f" {self.shape}. Check the last operation's rule with check_grads."
            )
        if self.grad is not None:
            np.add(self.grad, gradient, out=self.grad, casting="same_kind")
        elif self.grad_buffer is not None:
            np.copyto(self.grad_buffer, gradient)
            self.grad = self.grad_buffer
        elif is_fresh and gradient.dtype == self.dtype and gradient.flags.c_contiguous:
            self.grad = gradient
        else:
            self.grad = gradient.astype(self.dtype, order="C")

    def announce_final(self) -> None:
        """Tell the observer that `grad` is complete; the tape calls this."""
        if self.observer is not None:
            self.observer.gradient_final(self)

    def _apply(self, rule: Primitive, *others: Tensor | ArrayLike, **options: object) -> Tensor:
        return apply(rule, self, *others, **options)

    def _apply_right(self, rule: Primitive, left: ArrayLike) -> Tensor:
        return apply(rule, left, self)

    def _initial_gradient(self, gradient: ArrayLike | None) -> Array:
        if self.node is None and not self.requires_grad:
            raise MismatchError(
                "[backward] nothing that this tensor was computed from requires a gradient. Set"
                " requires_grad=True on a leaf, and leave no_grad()."
            )
        if gradient is None and self.data.size != 1:
            raise MismatchError(
                f"[backward] a tensor of shape {self.shape} is no scalar. Reduce it with .mean() or"
                " .sum(), or pass gradient=."
            )
        if gradient is None:
            return np.ones_like(self.data)
        start = as_array(gradient, self.dtype, like=self.data)
        check_one_device("backward", start, self.data)
        if start.shape != self.shape:
            raise MismatchError(
                f"[backward] gradient has shape {start.shape}, the tensor {self.shape}. Pass one of"
                " the tensor's shape."
            )
        return start

    def __float__(self) -> float:
        """The value of a tensor of one element."""
        return float(self.data.item())

    def __len__(self) -> int:
        """Size of the first axis."""
        return len(self.data)

    def __repr__(self) -> str:
        """The array, and how it was computed."""
        array = to_device(self.data, "cpu")
        text = np.array2string(array, separator=", ", threshold=20, prefix="Tensor(")
        made = f", by={self.node.name!r}" if self.node is not None else ""
        grad = ", requires_grad=True" if self.requires_grad and not made else ""
        where = "" if self.device == "cpu" else f", device={self.device!r}"
        return f"Tensor({text}, dtype={self.dtype}{where}{made}{grad})"


TensorLike: TypeAlias = Tensor | Array
"""What operations take: tensors, and arrays as constants."""


def as_tensor(value: ArrayLike | Tensor, like: Tensor | None = None) -> Tensor:
    """Give back tensors as they are and wrap everything else as a constant.

    Args:
        value: A tensor, array, number or nested list.
        like: Numbers and lists go to its device; numbers and NumPy scalars take its dtype, where it
            is a floating one.

    Returns:
        A tensor that shares the memory of an array.
    """
    if isinstance(value, Tensor):
        return value
    if like is None:
        return Tensor(value)
    data = like.data
    if data.dtype.kind == "f" and isinstance(value, int | float | np.generic):
        return Tensor(namespace_of(data).asarray(value, data.dtype))
    if is_array(value):
        return Tensor(value)
    return Tensor(beside(Tensor(value).data, data))


def apply(rule: Primitive, *inputs: ArrayLike | Tensor, **options: object) -> Tensor:
    """Run one operation, and record it if a gradient will have to come back through it.

    Args:
        rule: One of `PRIMITIVES`, or your own.
        *inputs: Tensors; arrays and numbers are constants.
        **options: Passed to the rule.

    Returns:
        The result, with the operation as its `node` if any input requires a gradient.

    Raises:
        MismatchError: The shapes do not fit, or some inputs lie on another device than others.

    Example:
        >>> y = apply(PRIMITIVES["tanh"], x)
    """
    like = next((one for one in inputs if isinstance(one, Tensor)), None)
    tensors = [as_tensor(one, like) for one in inputs]
    arrays = tuple(one.data for one in tensors)
    if len(set(map(type, arrays))) > 1:
        check_one_device(rule.name, *arrays)
    try:
        output = as_array(rule.forward(*arrays, **options))
    except ValueError as error:
        shapes = ", ".join(str(one.shape) for one in arrays)
        raise MismatchError(f"[{rule.name}] shapes {shapes} do not fit: {error}.") from error
    result = Tensor(output)
    if is_recording():
        parents = tuple(
            _gradient_goes_to(one) if vjp is not None else None
            for one, vjp in zip(tensors, rule.vjps, strict=False)
        )
        if any(parent is not None for parent in parents):
            result.node = Node(rule, arrays, options, output, parents)
            result.requires_grad = True
    return result


def _gradient_goes_to(tensor: Tensor) -> Node | Leaf | None:
    return tensor.node or (tensor if tensor.requires_grad else None)
