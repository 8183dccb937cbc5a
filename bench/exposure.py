"""What a wrapped step takes beyond the plain one: exposed communication, and its ratios.

Pure arithmetic on series; steps are compared round by round, never read off a timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.series import Fact, Series

PLAIN = "plain"
_MS = 1e3


def with_exposed(series: Series, plain: Series) -> Series:
    """Compare step by step: the pairs are of one batch and one moment.

    Args:
        series: Of wrapped steps.
        plain: Of as many steps without exchange.

    Returns:
        The series with the facts `exposed_ms`, the median, and its quartiles.
    """
    exposed_ms = (np.array(series.times_s) - np.array(plain.times_s)) * _MS
    q1, median, q3 = (float(x) for x in np.percentile(exposed_ms, [25, 50, 75]))
    found: dict[str, Fact] = {"exposed_ms": median, "exposed_q1_ms": q1, "exposed_q3_ms": q3}
    return replace(series, facts={**series.facts, **found})


def compare_exposed(series: Sequence[Series], own: str, peers: Sequence[str]) -> list[Series]:
    """Compare what libraries expose where they train one network in turn.

    Args:
        series: Of all contenders on one network, with the facts `contender` and `gradients`.
        own: The contender whose ratios are wanted.
        peers: The contenders that it is compared with, where they took part.

    Returns:
        The series; all but the plain ones with what they expose, and of `own` with facts such as
        `ringsync / ddp`, where that is above 0.
    """
    by_kind = {(one.facts["gradients"], one.facts["contender"]): one for one in series}
    found = {
        (fate, name): one if name == PLAIN else with_exposed(one, by_kind[fate, PLAIN])
        for (fate, name), one in by_kind.items()
    }
    for (fate, name), one in found.items():
        if name != own:
            continue
        theirs = {peer: found[fate, peer] for peer in peers if (fate, peer) in found}
        ratios: dict[str, Fact] = {
            f"{own} / {peer}": float(one.facts["exposed_ms"]) / float(other.facts["exposed_ms"])
            for peer, other in theirs.items()
            if float(other.facts["exposed_ms"]) > 0
        }
        found[fate, name] = replace(one, facts={**one.facts, **ratios})
    return list(found.values())
