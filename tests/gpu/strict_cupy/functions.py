# ruff: noqa: ARG001 - signatures are CuPy's, whatever of them is used
"""A stand-in for CuPy on the simulated device: as strict, and as little, as CuPy.

It has only what the learning library uses, under CuPy 14's signatures. `make` gives it memory.
"""

import ctypes
import inspect
import types

import numpy as np

from .array import COMPARISONS, MODULE, Pool, in_order, index_of, ndarray, pool, seen, there, ufunc


def _arrays(*values):
    if not all(isinstance(one, ndarray) for one in values):
        raise TypeError(f"Unsupported types {[type(one) for one in values]}")
    return [one._host for one in values]


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if isinstance(a, ndarray):
        return a if dtype is None else a.astype(dtype, copy=False)
    if facts := getattr(a, "__cuda_array_interface__", None):
        count = int(np.prod(facts["shape"], dtype=np.int64))
        kind = np.dtype(facts["typestr"])
        memory = (ctypes.c_char * max(count * kind.itemsize, 1)).from_address(facts["data"][0] or 1)
        memory.keeper = a
        view = np.frombuffer(memory, kind, count) if count else np.empty(0, kind)
        return ndarray._of(view.reshape(facts["shape"]), is_view=True)
    return ndarray._of(in_order(np.asarray(a, dtype), "C"))


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def zeros(shape, dtype=float, order="C"):
    made = empty(shape, dtype)
    made.fill(0)
    return made


def ones(shape, dtype=float, order="C"):
    made = empty(shape, dtype)
    made.fill(1)
    return made


def empty(shape, dtype=float, order="C"):
    return ndarray._of(pool().empty(shape if isinstance(shape, tuple) else (shape,), dtype))


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return ones(a.shape if shape is None else shape, dtype or a.dtype)


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return zeros(a.shape if shape is None else shape, dtype or a.dtype)


def arange(start, stop=None, step=1, dtype=None):
    return there(np.arange(start, stop, step, dtype) if stop is not None else np.arange(start))


def ascontiguousarray(a, dtype=None):
    (host,) = _arrays(a)
    return a if host.flags.c_contiguous and dtype is None else a.astype(dtype or a.dtype, "C")


def copyto(dst, src, casting="same_kind", where=None):
    if isinstance(src, np.ndarray) and src.size != 1:
        raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
    (host,) = _arrays(dst)
    np.copyto(host, seen(src, "copyto"), casting=casting)


def pad(array, pad_width, mode="constant", **kwargs):
    return there(np.pad(*_arrays(array), pad_width, mode, **kwargs))


def take(a, indices, axis=None, out=None):
    return there(np.take(*_arrays(a), index_of(indices), axis=axis, mode="wrap"))


def expand_dims(a, axis):
    return there(np.expand_dims(*_arrays(a), axis))


def broadcast_to(array, shape):
    return there(np.broadcast_to(*_arrays(array), shape))


def moveaxis(a, source, destination):
    return there(np.moveaxis(*_arrays(a), source, destination))


def reshape(a, newshape, order="C", *, copy=None):
    return a.reshape(newshape, order=order)


def transpose(a, axes=None):
    return a.transpose() if axes is None else a.transpose(axes)


def shape(a):
    return a.shape


def sum_(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.sum(axis, dtype, out, keepdims)


def mean(a, axis=None, dtype=None, out=None, keepdims=False):
    return a.mean(axis, dtype, out, keepdims)


def max_(a, axis=None, out=None, keepdims=False):
    return a.max(axis, out, keepdims)


def as_strided(x, shape=None, strides=None):
    (host,) = _arrays(x)
    return ndarray._of(np.lib.stride_tricks.as_strided(host, shape, strides), is_view=True)


class Device:
    """One of the devices, of which the simulation has one."""

    def __init__(self, device):
        assert device == 0

    def use(self):
        """Make it the current one, which it is."""


class ExternalStream:
    """A stream of the plug-in's; `with` makes it the current one, which arrays name."""

    def __init__(self, ptr):
        self.ptr = ptr

    def __enter__(self):
        self._before, MODULE.stream = MODULE.stream, self
        return self

    def __exit__(self, *error):
        MODULE.stream = self._before


# A trailing underscore is there to spare a Python builtin.
FUNCTIONS = {
    function.__name__.rstrip("_"): function
    for function in (
        asarray, asnumpy, zeros, ones, empty, ones_like, zeros_like, arange, ascontiguousarray,
        copyto, pad, take, expand_dims, broadcast_to, moveaxis, reshape, transpose, shape, sum_,
        mean, max_,
    )
}  # fmt: skip
UFUNCS = (
    "add", "subtract", "multiply", "divide", "power", "negative", "exp", "log", "tanh", "maximum",
    "absolute", "matmul", "bitwise_and", "bitwise_xor", *COMPARISONS.values(),
)  # fmt: skip


def make(plugin):
    """The module, with arrays in memory of `plugin`, of which the process has one."""
    MODULE.pool = Pool(plugin)
    MODULE.ndarray = ndarray
    for name, function in FUNCTIONS.items():
        setattr(MODULE, name, function)
    for name in UFUNCS:
        setattr(MODULE, name, ufunc(getattr(np, name)))
    tricks = types.SimpleNamespace(as_strided=as_strided)
    MODULE.lib = types.SimpleNamespace(stride_tricks=tricks)
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1)
    # What is ordered behind a call in the default stream waits for it, as NumPy has to.
    MODULE.stream = ExternalStream(0)
    MODULE.cuda = types.SimpleNamespace(
        runtime=runtime,
        Device=Device,
        ExternalStream=ExternalStream,
        get_current_stream=lambda: MODULE.stream,
    )
    return MODULE


def unlike(cupy):
    """What CuPy itself lacks, or spells otherwise; nothing is computed."""
    told = [
        f"{name}{inspect.signature(function)}"
        for name, function in FUNCTIONS.items()
        if _names(getattr(cupy, name, None)) != _names(function)
    ]
    told += [name for name in UFUNCS if not hasattr(cupy, name)]
    methods = [name for name in vars(ndarray) if not name.startswith("_")]
    told += [f"ndarray.{name}" for name in methods if not hasattr(cupy.ndarray, name)]
    return told


def _names(function):
    return list(inspect.signature(function).parameters) if function else None
