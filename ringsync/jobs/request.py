"""What `run` asks of the launcher, as text from one process to the other.

Facts only; neither side's behaviour is here.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Request:
    """One job, as asked for.

    Attributes:
        command: Argument vector of every rank.
        size: Number of ranks.
        descriptors: What each rank inherits beside its standard streams, by rank.
        report: Descriptor to write the outcome to.
        environment: Variables that the ranks have beyond the caller's.
        timeline: Directory to record in, or None.
        log_dir: Directory of the ranks' output, or None.
        is_tagged: Whether each line starts with `[rank]`; None means with more than one rank.
        grace_s: Seconds between the request to end and SIGKILL.
        start_timeout_s: Seconds that ranks wait for one another, or None for the default.
        is_verbose: Whether the start and end of every rank is told.
    """

    command: tuple[str, ...]
    size: int
    descriptors: tuple[tuple[int, ...], ...]
    report: int
    environment: dict[str, str]
    timeline: str | None = None
    log_dir: str | None = None
    is_tagged: bool | None = None
    grace_s: float = 3.0
    start_timeout_s: float | None = None
    is_verbose: bool = False


def is_variable_name(text: str) -> bool:
    """Tell whether a shell could name a variable of the environment so.

    Args:
        text: As given.

    Returns:
        True for letters, digits and `_`, without a digit at the beginning.
    """
    return _NAME.fullmatch(text) is not None


def encode_request(request: Request) -> bytes:
    """Write a request as JSON; names of files keep what is not UTF-8 in them.

    Args:
        request: What to ask.

    Returns:
        The text.
    """
    return json.dumps(asdict(request)).encode("ascii")


def decode_request(text: bytes) -> Request | None:
    """Read what `encode_request` wrote.

    Args:
        text: All that came.

    Returns:
        The request; None if its writer ended in the middle of it.
    """
    try:
        facts: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    facts["command"] = tuple(facts["command"])
    facts["descriptors"] = tuple(tuple(numbers) for numbers in facts["descriptors"])
    return Request(**facts)
