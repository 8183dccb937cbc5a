"""Made-up data, for tests and for trying things out.

Not a measure of anything: the classes are easy on purpose.
"""

from __future__ import annotations

import numpy as np

from ringsync.data.dataset import Dataset
from ringsync.errors import ConfigError

# In units of the classes' own spread: far enough apart to be learned in a few steps.
_NOISE = 0.5


def synthetic(classes: int, count: int, shape: tuple[int, ...], seed: int) -> Dataset:
    """Draw one random pattern per class, and samples that are their class's pattern plus noise.

    Args:
        classes: Number of classes.
        count: Number of samples; their classes take turns.
        shape: Of one sample.
        seed: Equal seeds, equal sets.

    Returns:
        x float32 (count, *shape), y int64 from 0 to classes - 1.

    Raises:
        ConfigError: There is no class, or a negative number of samples.

    Example:
        >>> ds = synthetic(classes=3, count=90, shape=(4,), seed=0)
    """
    if classes < 1 or count < 0:
        raise ConfigError(
            f"[data] classes={classes}, count={count}; expected at least one class and no negative"
            " count."
        )
    generator = np.random.default_rng(seed)
    patterns = generator.standard_normal((classes, *shape))
    y = np.arange(count, dtype=np.int64) % classes
    x = patterns[y] + _NOISE * generator.standard_normal((count, *shape))
    return Dataset(x.astype(np.float32), y)
