"""Which way to cut launches did best over all buckets: `python -m bench.device.best DIR`.

Reads what the sweeps of bench/gpu.py wrote; the plug-in's defaults are chosen by it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

_SHOWN = 6
_SWEEPS = {
    "sweep-moves": (("threads", "team", "span KiB", "most blocks"), ("set", "types", "call")),
    "sweep-sums": (("threads", "most blocks"), ("peers", "type")),
}


def main() -> None:
    """Print the best shapes of every sweep that is there."""
    for name, (shape, case) in _SWEEPS.items():
        path = Path(sys.argv[1], f"{name}.json")
        if path.exists():
            print(f"# {name}: mean and least ratio by shape, best shape by case")
            _show(json.loads(path.read_text())["rows"], shape, case)


def _show(rows: list[dict[str, Any]], shape: tuple[str, ...], case: tuple[str, ...]) -> None:
    by_shape, by_case = defaultdict(list), defaultdict(list)
    for row in rows:
        key = tuple(row[name] for name in shape)
        by_shape[key].append(row["ratio"])
        by_case[tuple(row[name] for name in case)].append((row["ratio"], key))

    def mean(ratios: list[float]) -> float:
        return sum(ratios) / len(ratios)

    ranked = sorted(by_shape.items(), key=lambda item: -mean(item[1]))
    for key, ratios in (*ranked[:_SHOWN], *ranked[-1:]):
        print(f"  {dict(zip(shape, key, strict=True))}: {mean(ratios):.3f} {min(ratios):.3f}")
    for one, found in by_case.items():
        ratio, key = max(found)
        print(f"  {one}: {ratio:.3f} by {key}")


if __name__ == "__main__":
    main()
