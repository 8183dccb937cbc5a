"""One thing that was looked for: whether it is there, and if not, why and what to do.

Only the form; looking is the other modules' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing.

    Attributes:
        name: What was looked for.
        is_found: Whether ringsync can use it.
        detail: What it is, or why it is missing.
        advice: What to do about it; "" where nothing has to be done.
    """

    name: str
    is_found: bool
    detail: str
    advice: str = ""


def format_findings(title: str, findings: Sequence[Finding]) -> list[str]:
    """Write findings as lines, marked as `horovodrun --check-build` does.

    Args:
        title: What they have in common.
        findings: In order.

    Returns:
        The title and a line for each.
    """
    width = max((len(finding.name) for finding in findings), default=0)
    lines = [f"{title}:"]
    for finding in findings:
        mark = "X" if finding.is_found else " "
        advice = f". {finding.advice}" if finding.advice else ""
        lines.append(f"    [{mark}] {finding.name:<{width}}  {finding.detail}{advice}".rstrip())
    return lines
