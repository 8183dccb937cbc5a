"""How long a caller lets something take, as the engine and a selector are told it."""

from __future__ import annotations

import time
from numbers import Real

from ringsync.errors import ConfigError
from ringsync.words import in_line

# 30 years: an int beyond every float is as good.
LONGEST_S = 1e9
_LONGEST_WAIT_S = 86_400.0  # epoll counts milliseconds in an int, which ends at 24.8 days


def checked_seconds(place: str, timeout_s: float) -> float:
    """Check a time that a call may take.

    Args:
        place: The public function's name, for messages.
        timeout_s: As the caller gave it.

    Returns:
        The same as a float.

    Raises:
        ConfigError: It is no time above 0.
    """
    if not isinstance(timeout_s, Real) or not timeout_s > 0:
        raise ConfigError(
            f"[{place}] timeout_s={in_line(timeout_s)}; seconds above 0 are expected, or None. "
            "Leave it out to take RINGSYNC_TIMEOUT_S."
        )
    return float(min(timeout_s, LONGEST_S))


def seconds_until(at_s: float | None) -> float | None:
    """Settle how long a selector may wait for a moment; whoever waits looks at the clock again.

    Args:
        at_s: The moment, of `time.monotonic()`, or None if there is none.

    Returns:
        Seconds from now, 0 or more and a day at most; None for None.
    """
    if at_s is None:
        return None
    return min(max(0.0, at_s - time.monotonic()), _LONGEST_WAIT_S)
