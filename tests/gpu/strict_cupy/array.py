# ruff: noqa: ARG002 - signatures are CuPy's, whatever of them is used
"""The array of the stand-in for CuPy: its memory is the simulated device's, and NumPy computes.

That memory is the host's, which nobody may know: what CuPy refuses is refused. Functions that are
no methods are in functions.
"""

import ctypes
import types
import weakref

import numpy as np

# Of a slab, from which arrays are cut as CuPy's pool does: the simulation has one descriptor each.
_SLAB_BYTES = 64 * 2**20
# CuPy's pool rounds to as much.
_PIECE_BYTES = 512

_SCALARS = (bool, int, float, complex, np.generic)
MODULE = types.ModuleType("cupy")


class Pool:
    """Memory of one device; pieces that are free are handed out again by size."""

    def __init__(self, plugin):
        self._plugin = plugin
        self._free = {}
        self._slab, self._left = 0, 0
        self._slabs = []

    def owns(self, address):
        return any(first <= address < end for first, end in self._slabs)

    def empty(self, shape, dtype):
        """Memory as NumPy sees it, and who keeps it."""
        count = int(np.prod(shape, dtype=np.int64))
        size = -(-max(count * np.dtype(dtype).itemsize, 1) // _PIECE_BYTES) * _PIECE_BYTES
        pieces = self._free.setdefault(size, [])
        address = pieces.pop() if pieces else self._cut(size)
        memory = (ctypes.c_char * size).from_address(address)
        weakref.finalize(memory, pieces.append, address).atexit = False
        return np.frombuffer(memory, dtype, count).reshape(shape)

    def _cut(self, size):
        if size > self._left:
            slab = max(size, _SLAB_BYTES)
            self._slab, self._left = self._plugin.allocate(slab), slab
            self._slabs.append((self._slab, self._slab + slab))
        address = self._slab
        self._slab, self._left = address + size, self._left - size
        return address


class Flags:
    """What CuPy tells of an array's memory; no word of being writable."""

    def __init__(self, host, owndata):
        self.c_contiguous = host.flags.c_contiguous
        self.f_contiguous = host.flags.f_contiguous
        self.owndata = owndata


def pool():
    return MODULE.pool


def seen(value, place="array"):
    """What NumPy computes with: of an array of the device its memory, else a scalar."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(f"Unsupported type {type(value)} ({place})")


def there(result):
    """An array of the device: a view, where NumPy has made one of device memory, else a copy."""
    result = np.asarray(result)
    if result.size and pool().owns(result.ctypes.data):
        return ndarray._of(result, is_view=True)
    host = pool().empty(result.shape, result.dtype)
    host[...] = result
    return ndarray._of(host)


def index_of(part):
    """An index as NumPy takes it."""
    if isinstance(part, tuple):
        return tuple(map(index_of, part))
    return part._host if isinstance(part, ndarray) else part


class ndarray:  # noqa: N801 - CuPy's name, and no more hashable than CuPy's
    """An array on the device."""

    __slots__ = ("__weakref__", "_host", "_is_view")
    __array_priority__ = 100

    @classmethod
    def _of(cls, host, is_view=False):
        made = cls.__new__(cls)
        made._host, made._is_view = host, is_view
        return made

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host, not self._is_view))
    T = property(lambda self: there(self._host.T))

    @property
    def __cuda_array_interface__(self):
        strides = None if self._host.flags.c_contiguous else self.strides
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._host.ctypes.data, False),
            "version": 3,
            "strides": strides,
            "stream": MODULE.stream.ptr or 1,
        }

    def __dlpack_device__(self):
        return (2, 0)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        function = getattr(MODULE, ufunc.__name__, None)
        if function is None:
            return NotImplemented
        allowed = (*_SCALARS, ndarray, np.ndarray)
        if not all(isinstance(one, allowed) for one in inputs):
            return NotImplemented
        if method != "__call__":
            function = getattr(function, method, None)
        return NotImplemented if function is None else function(*inputs, **kwargs)

    def __array_function__(self, function, kinds, args, kwargs):
        own = getattr(MODULE, function.__name__, None)
        if own is None or own is function:
            return NotImplemented
        if not all(issubclass(kind, ndarray | np.ndarray) for kind in kinds):
            return NotImplemented
        return own(*args, **kwargs)

    def get(self, stream=None, order="C", out=None, blocking=True):
        return self._host.copy(order)

    def item(self):
        return self._host.item()

    def tolist(self):
        return self._host.tolist()

    def fill(self, value):
        if isinstance(value, np.ndarray) and value.size != 1:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host.fill(seen(value) if isinstance(value, ndarray) else value)

    def copy(self, order="C"):
        return ndarray._of(in_order(self._host, order))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == dtype:
            return self
        return ndarray._of(in_order(self._host.astype(dtype), "C" if order == "K" else order))

    def view(self, dtype=None):
        return ndarray._of(self._host.view(dtype or self.dtype), is_view=True)

    def reshape(self, *shape, order="C"):
        return there(self._host.reshape(*shape, order=order))

    def transpose(self, *axes):
        return there(self._host.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        return there(self._host.swapaxes(axis1, axis2))

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return _reduced(np.sum, self, axis, out, dtype=dtype, keepdims=keepdims)

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return _reduced(np.mean, self, axis, out, dtype=dtype, keepdims=keepdims)

    def max(self, axis=None, out=None, keepdims=False):
        return _reduced(np.max, self, axis, out, keepdims=keepdims)

    def min(self, axis=None, out=None, keepdims=False):
        return _reduced(np.min, self, axis, out, keepdims=keepdims)

    def all(self, axis=None, out=None, keepdims=False):
        return _reduced(np.all, self, axis, out, keepdims=keepdims)

    def argmax(self, axis=None, out=None, dtype=None, keepdims=False):
        return _reduced(np.argmax, self, axis, out, keepdims=keepdims)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self._host)

    def __int__(self):
        return int(self._host)

    def __float__(self):
        return float(self._host)

    def __repr__(self):
        return repr(self._host)

    def __format__(self, text):
        return format(self._host.item() if self.ndim == 0 else self._host, text)

    def __getitem__(self, key):
        return there(self._host[index_of(key)])

    def __setitem__(self, key, value):
        self._host[index_of(key)] = seen(value, "assignment")

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        return MODULE.asarray, (self.get(),)


def _operator(name, is_reflected=False, is_in_place=False):
    def operate(self, other):
        if not isinstance(other, (ndarray, np.ndarray, *_SCALARS)):
            return NotImplemented
        function = getattr(MODULE, name)
        if is_in_place:
            return function(self, other, out=self)
        return function(other, self) if is_reflected else function(self, other)

    return operate


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power",
    "matmul": "matmul", "and": "bitwise_and", "xor": "bitwise_xor",
}  # fmt: skip
COMPARISONS = {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal",
}  # fmt: skip
for _word, _name in _OPERATORS.items():
    setattr(ndarray, f"__{_word}__", _operator(_name))
    setattr(ndarray, f"__r{_word}__", _operator(_name, is_reflected=True))
    if _word != "matmul":
        setattr(ndarray, f"__i{_word}__", _operator(_name, is_in_place=True))
for _word, _name in COMPARISONS.items():
    setattr(ndarray, f"__{_word}__", _operator(_name))
ndarray.__neg__ = lambda self: MODULE.negative(self)  # noqa: PLW0108 - not made yet


def in_order(host, order):
    made = pool().empty(host.shape, host.dtype)
    if order == "F":
        made = made.reshape(host.shape[::-1]).T
    np.copyto(made, host)
    return made


def _reduced(function, array, axis, out, **options):
    result = function(seen(array), axis=axis, **options)
    if out is None:
        return there(result)
    out._host[...] = result
    return out


class ufunc:  # noqa: N801 - CuPy's name
    """An operation on elements, or a matrix product."""

    def __init__(self, function):
        self._function = function

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        inputs = [seen(one, self._function.__name__) for one in args]
        options = {"casting": casting} | ({} if dtype is None else {"dtype": dtype})
        if out is None:
            return there(self._function(*inputs, **options))
        if not isinstance(out, ndarray):
            raise TypeError(f"Unsupported type {type(out)} (out)")
        self._function(*inputs, out=out._host, **options)
        return out

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        if self._function is not np.add:
            raise NotImplementedError(f"`{self._function.__name__}.reduce` is not supported yet")
        return array.sum(axis, dtype, out, keepdims)

    def at(self, a, indices, b=None):
        if self._function is not np.add:
            raise NotImplementedError(f"`{self._function.__name__}.at` is not supported yet")
        self._function.at(seen(a), index_of(indices), seen(b))
