"""Labelled samples in memory, cut into batches that do not depend on how many share them.

Not a loader with threads, and nothing of ranks: a shard is a number among numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ringsync.errors import ConfigError, MismatchError
from ringsync.namespaces import as_array, check_device, to_device
from ringsync.words import in_line

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset:
    """Samples `x` and labels `y`; never changed, only looked at in other ways.

    A shard holds the whole set too, because every global batch is shuffled over all of it.

    Args:
        x: (samples, ...); kept without a copy, given out read-only where NumPy can.
        y: (samples, ...).
        index: Which shard this is, 0-based.
        shards: Among how many.

    Raises:
        MismatchError: `x` and `y` differ in length.

    Example:
        >>> train, test = digits().split(1437)
        >>> for x, y in train.shard(rank, size).batches(64, shuffle=epoch):
        ...     step(x, y)
    """

    x: Array
    y: Array
    index: int = 0
    shards: int = 1

    def __post_init__(self) -> None:
        """Check, and look at the arrays through read-only views."""
        for name in ("x", "y"):
            view = as_array(getattr(self, name)).view()
            if isinstance(view, np.ndarray):  # CuPy has no such flag
                view.flags.writeable = False
            object.__setattr__(self, name, view)
        if self.x.ndim == 0 or self.y.ndim == 0 or len(self.x) != len(self.y):
            raise MismatchError(
                f"[dataset] x has shape {self.x.shape}, y {self.y.shape}; expected equal first"
                " sizes, one label per sample."
            )

    def __len__(self) -> int:
        """Samples in this set; of a shard, in its own part."""
        return len(range(*_part(len(self.x), self.index, self.shards).indices(len(self.x))))

    def __repr__(self) -> str:
        """Sizes and dtypes."""
        shard = f", shard {self.index} of {self.shards}" if self.shards > 1 else ""
        return f"Dataset(x={self.x.dtype}{self.x.shape}, y={self.y.dtype}{self.y.shape}{shard})"

    def arrays(self) -> tuple[Array, Array]:
        """Give the samples and labels themselves.

        Returns:
            Read-only x and y; of a shard, its own contiguous part, so that all parts are the set.
        """
        own = _part(len(self.x), self.index, self.shards)
        return self.x[own], self.y[own]

    def split(self, k: int) -> tuple[Dataset, Dataset]:
        """Cut the set in two.

        Args:
            k: Size of the first part.

        Returns:
            The first `k` samples, and the rest.

        Raises:
            ConfigError: `k` is not between 0 and the length, or this is a shard.
        """
        self._require_whole("split")
        if not 0 <= k <= len(self):
            raise ConfigError(f"[dataset] split at {k} of {len(self)} samples; expected 0 to that.")
        return Dataset(self.x[:k], self.y[:k]), Dataset(self.x[k:], self.y[k:])

    def shuffled(self, seed: int) -> Dataset:
        """Put the samples into another order, once and for all, before a split.

        Args:
            seed: Of the permutation; equal seeds, equal orders.

        Returns:
            A new set; `batches(shuffle=...)` still draws an order per epoch.

        Raises:
            ConfigError: This is a shard.
        """
        self._require_whole("shuffled")
        order = np.random.default_rng(seed).permutation(len(self.x))
        return Dataset(self.x[order], self.y[order])

    def shard(self, rank: int, size: int) -> Dataset:
        """Take part number `rank` of `size` of every global batch.

        Args:
            rank: Which part, 0-based.
            size: Number of parts.

        Returns:
            The same samples, seen as that shard.

        Raises:
            ConfigError: `rank` is not below `size`, or this is a shard already.
        """
        self._require_whole("shard")
        if not 0 <= rank < size:
            raise ConfigError(f"[dataset] shard {rank} of {size}; expected 0 <= rank < size.")
        return replace(self, index=rank, shards=size)

    def map(self, fn: Callable[[Array], Array]) -> Dataset:
        """Change all samples at once.

        Args:
            fn: From x, the whole array, to a new array of the same length. Labels stay.

        Returns:
            A new set; shards stay shards.

        Raises:
            MismatchError: The length changed.

        Example:
            >>> flat = digits().map(lambda x: x.reshape(len(x), -1))
        """
        return replace(self, x=fn(self.x))

    def to(self, device: str) -> Dataset:
        """Bring samples and labels to a device, all at once; batches are then cut there.

        Args:
            device: "cpu", or "cuda": CuPy's current GPU.

        Returns:
            A new set; shards stay shards.

        Raises:
            ConfigError: There is no such device, or CuPy cannot use it.

        Example:
            >>> for x, y in digits().to("cuda").batches(64, shuffle=epoch):
            ...     step(x, y)
        """
        check_device(device)
        return replace(self, x=to_device(self.x, device), y=to_device(self.y, device))

    def batches(
        self, batch: int, shuffle: int | None = None, drop_last: bool | None = None
    ) -> Iterator[tuple[Array, Array]]:
        """Cut the whole set into global batches, and give this shard's part of each.

        The parts of a batch are contiguous and differ by one sample at most, the first ones being
        larger, so any number of shards sees the same samples in every step. Where the shards do not
        divide the batch, the mean over ranks of each part's mean weighs the samples of smaller
        parts a little more; choose a batch that they divide to train exactly as one process does.
        In a last small batch a shard's part may be empty; all shards take the same number of steps.

        Args:
            batch: Size of the GLOBAL batch, of all shards together.
            shuffle: Seed of a permutation of the whole set (the epoch's number will do), equal on
                all shards; None keeps the order.
            drop_last: Leave out a last batch that is not full; None means only when shuffling.

        Returns:
            An iterator over (x, y); views without shuffling, else copies.

        Raises:
            ConfigError: `batch` is smaller than the number of shards, or larger than the set while
                shuffling, or `shuffle` is no seed.
        """
        if isinstance(shuffle, bool):
            raise ConfigError(
                f"[dataset] shuffle={shuffle}; a seed is expected, or None for no shuffling. Pass"
                " the epoch's number, so that every epoch has an order of its own."
            )
        if isinstance(batch, bool) or not isinstance(batch, SupportsIndex):
            raise ConfigError(
                f"[dataset] batch={in_line(batch)}; a whole number of samples is expected. Pass, "
                "for example, batch=64."
            )
        if shuffle is not None and not (isinstance(shuffle, SupportsIndex) and shuffle >= 0):
            raise ConfigError(
                f"[dataset] shuffle={in_line(shuffle)}; a whole number from 0 is expected as the "
                "seed, or None for no shuffling. Pass the epoch's number."
            )
        if batch < self.shards:
            raise ConfigError(
                f"[dataset] a global batch of {batch} cannot feed {self.shards} shards; expected at"
                f" least {self.shards}. `batch` counts the samples of all shards together."
            )
        is_dropping = shuffle is not None if drop_last is None else drop_last
        count = len(self.x)
        if is_dropping and batch > count:
            raise ConfigError(
                f"[dataset] a global batch of {batch} from {count} samples leaves no full batch."
                " Take a smaller batch, or drop_last=False."
            )
        order = None if shuffle is None else np.random.default_rng(shuffle).permutation(count)
        stop = count - count % batch if is_dropping else count
        return self._parts(range(0, stop, batch), batch, order)

    def _parts(
        self, starts: range, batch: int, order: Array | None
    ) -> Iterator[tuple[Array, Array]]:
        for first in starts:
            part = _part(min(batch, len(self.x) - first), self.index, self.shards)
            place = slice(first + part.start, first + part.stop)
            chosen = place if order is None else order[place]
            yield self.x[chosen], self.y[chosen]

    def _require_whole(self, what: str) -> None:
        if self.shards > 1:
            raise ConfigError(
                f"[dataset] {what} of shard {self.index} of {self.shards}; expected the whole set."
                f" Call {what} before shard."
            )


def _part(count: int, index: int, shards: int) -> slice:
    """Part `index` of `count` samples, sized as numpy.array_split sizes them."""
    each, more = divmod(count, shards)
    start = index * each + min(index, more)
    return slice(start, start + each + (index < more))
