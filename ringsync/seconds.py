"""How long a caller lets something take, as the engine is told it."""

from __future__ import annotations

from numbers import Real

from ringsync.errors import ConfigError

# 30 years: an int beyond every float is as good.
LONGEST_S = 1e9


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
            f"[{place}] timeout_s={timeout_s!r}; seconds above 0 are expected, or None. Leave it "
            "out to take RINGSYNC_TIMEOUT_S."
        )
    return float(min(timeout_s, LONGEST_S))
