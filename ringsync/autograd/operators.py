"""Python's operators and NumPy's everyday methods, spelled once for whatever can apply a rule.

Not a tensor: what a rule does with its inputs is decided by `_apply` of the class that mixes this
in, so eager tensors and symbolic ones read alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from numpy.typing import ArrayLike

from ringsync.autograd.ops import elementwise, index, linalg, reduce, shape
from ringsync.autograd.primitive import Primitive

Result = TypeVar("Result")


class Operators(ABC, Generic[Result]):
    """Arithmetic, reductions, shapes and indices in terms of one method, `_apply`."""

    __slots__ = ()
    # NumPy's own operators leave `array + x` to x.
    __array_ufunc__ = None

    @abstractmethod
    def _apply(self, rule: Primitive, *others: Result | ArrayLike, **options: object) -> Result:
        """Apply `rule` with this as its first input."""

    @abstractmethod
    def _apply_right(self, rule: Primitive, left: ArrayLike) -> Result:
        """Apply `rule` with this as its second input."""

    def sum(self, axis: reduce.Axis = None, *, keepdims: bool = False) -> Result:
        """Sum over `axis`, or over all."""
        return self._apply(reduce.sum_, axis=axis, keepdims=keepdims)

    def mean(self, axis: reduce.Axis = None, *, keepdims: bool = False) -> Result:
        """Mean over `axis`, or over all."""
        return self._apply(reduce.mean, axis=axis, keepdims=keepdims)

    def max(self, axis: reduce.Axis = None, *, keepdims: bool = False) -> Result:
        """Largest element over `axis`, or of all; equal ones share the gradient."""
        return self._apply(reduce.max_, axis=axis, keepdims=keepdims)

    def reshape(self, *sizes: int) -> Result:
        """The same elements in another shape; one size may be -1."""
        return self._apply(shape.reshape, shape=sizes)

    def transpose(self, *axes: int) -> Result:
        """The axes permuted; none given reverses them."""
        return self._apply(shape.transpose, axes=axes or None)

    def __getitem__(self, key: index.Index) -> Result:
        """Choose elements, with any index that NumPy takes."""
        return self._apply(index.getitem, index=key)

    def __neg__(self) -> Result:
        """`-x`."""
        return self._apply(elementwise.neg)

    def __pow__(self, exponent: float) -> Result:
        """`x` to a power that is a plain number."""
        return self._apply(elementwise.pow_, exponent=exponent)

    def __add__(self, other: Result | ArrayLike) -> Result:
        """`x + other`."""
        return self._apply(elementwise.add, other)

    def __radd__(self, other: ArrayLike) -> Result:
        """`other + x`."""
        return self._apply_right(elementwise.add, other)

    def __sub__(self, other: Result | ArrayLike) -> Result:
        """`x - other`."""
        return self._apply(elementwise.sub, other)

    def __rsub__(self, other: ArrayLike) -> Result:
        """`other - x`."""
        return self._apply_right(elementwise.sub, other)

    def __mul__(self, other: Result | ArrayLike) -> Result:
        """`x * other`."""
        return self._apply(elementwise.mul, other)

    def __rmul__(self, other: ArrayLike) -> Result:
        """`other * x`."""
        return self._apply_right(elementwise.mul, other)

    def __truediv__(self, other: Result | ArrayLike) -> Result:
        """`x / other`."""
        return self._apply(elementwise.div, other)

    def __rtruediv__(self, other: ArrayLike) -> Result:
        """`other / x`."""
        return self._apply_right(elementwise.div, other)

    def __matmul__(self, other: Result | ArrayLike) -> Result:
        """Matrix product `x @ other`."""
        return self._apply(linalg.matmul, other)

    def __rmatmul__(self, other: ArrayLike) -> Result:
        """Matrix product `other @ x`."""
        return self._apply_right(linalg.matmul, other)
