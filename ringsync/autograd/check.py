"""Gradients against central differences, in float64.

Not for training: it evaluates the function twice per element.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ringsync.autograd.primitive import Array
from ringsync.autograd.recording import no_grad
from ringsync.autograd.tensor import Tensor
from ringsync.namespaces import as_array, beside, to_device


def check_grads(
    fn: Callable[..., Tensor], *arrays: ArrayLike, eps: float = 1e-6, tolerance: float = 1e-6
) -> None:
    """Compare the tape's gradient of `fn` with central differences for every floating input.

    The output is weighed by fixed random numbers into one scalar, so that any shape will do.
    Keep away from kinks (relu at 0, equal maxima): there the two rightly differ.

    Args:
        fn: Takes one tensor per array and returns a tensor.
        *arrays: Where to check, of NumPy or CuPy. Floating ones become float64 and are
            differentiated; integers are passed as they are.
        eps: Half the distance of the two evaluations.
        tolerance: Largest allowed difference, absolute for gradients below 1, else relative.

    Raises:
        AssertionError: A gradient differs or is missing; names the last operation, the input and
            its worst element.

    Cost: two evaluations of `fn` per element.

    Example:
        >>> check_grads(lambda x, w: (x @ w).sum(), np.ones((2, 3)), np.ones((3, 4)))
    """
    inputs = [_as_input(one) for one in arrays]
    output = fn(*inputs)
    name = output.node.name if output.node is not None else getattr(fn, "__name__", "fn")
    weights = np.random.default_rng(0).uniform(0.5, 1.5, output.shape)
    weights = beside(weights, output.data)
    if output.node is not None:
        output.backward(weights)
    for position, tensor in enumerate(inputs):
        if tensor.requires_grad:
            expected = _central_differences(fn, inputs, position, weights, eps)
            _compare(name, position, tensor.grad, expected, tolerance)


def _as_input(value: ArrayLike) -> Tensor:
    array = as_array(value)
    is_floating = np.issubdtype(array.dtype, np.floating)
    return Tensor(array.astype(np.float64) if is_floating else array, requires_grad=is_floating)


def _central_differences(
    fn: Callable[..., Tensor], inputs: list[Tensor], position: int, weights: Array, eps: float
) -> Array:
    array = inputs[position].data
    gradient = np.zeros(array.shape)

    def evaluate(element: tuple[int, ...], value: float) -> float:
        array[element] = value
        return float((fn(*inputs).data * weights).sum())

    with no_grad():
        for element in np.ndindex(array.shape):
            value = float(array[element])
            above, below = evaluate(element, value + eps), evaluate(element, value - eps)
            array[element] = value
            gradient[element] = (above - below) / (2 * eps)
    return gradient


def _compare(
    name: str, position: int, found: Array | None, expected: Array, tolerance: float
) -> None:
    if found is None:
        raise AssertionError(f"[check_grads] {name!r}: input {position} received no gradient.")
    found = to_device(found, "cpu")
    error = np.asarray(np.abs(found - expected) / np.maximum(1, np.abs(expected)))
    if not expected.size or error.max() <= tolerance:
        return
    error[np.isnan(error)] = np.inf
    worst = np.unravel_index(int(error.argmax()), error.shape)
    element = tuple(int(one) for one in worst)
    raise AssertionError(
        f"[check_grads] {name!r}: input {position}, element {element}: the tape says"
        f" {found[element]:.9g}, central differences {expected[element]:.9g}; allowed is"
        f" {tolerance:g}. Check that rule's vjp number {position}."
    )
