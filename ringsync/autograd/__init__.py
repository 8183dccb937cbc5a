"""Automatic differentiation on NumPy: define by running, then walk back.

Not layers (nn), and nothing of ranks: a leaf's `grad_buffer` and `observer` are where others join.
"""

from ringsync.autograd.check import check_grads
from ringsync.autograd.functions import (
    exp,
    flatten,
    log,
    log_softmax,
    maximum,
    relu,
    take,
    tanh,
)
from ringsync.autograd.ops import PRIMITIVES
from ringsync.autograd.parameter import Parameter
from ringsync.autograd.primitive import Array, Primitive, primitive
from ringsync.autograd.recording import is_recording, no_grad
from ringsync.autograd.tensor import BackwardObserver, Tensor, TensorLike, apply, as_tensor

__all__ = [
    "PRIMITIVES",
    "Array",
    "BackwardObserver",
    "Parameter",
    "Primitive",
    "Tensor",
    "TensorLike",
    "apply",
    "as_tensor",
    "check_grads",
    "exp",
    "flatten",
    "is_recording",
    "log",
    "log_softmax",
    "maximum",
    "no_grad",
    "primitive",
    "relu",
    "take",
    "tanh",
]
