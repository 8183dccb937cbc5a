"""Speed of a device plug-in, part by part, as ratios to copies of the same device in the same run.

`python -m bench.gpu moves --out DIR`; `bench/gpu.sh DIR` builds, tests and runs all parts. Which
ways exist to move a bucket is bench/device's matter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.device import parts, rings
from bench.device.abi import DeviceFacts
from bench.device.ceiling import Ceiling
from bench.device.collectives import measure_collectives
from bench.device.nccl import measure_nccl
from bench.device.overlap import measure_overlap
from bench.device.parts import Row
from bench.device.plugin import Plugin, find_plugin
from bench.device.timing import Stopwatch
from bench.machine import commit_info, cpu_name
from bench.table import Column, format_table

Part = Callable[[Stopwatch, Ceiling], Iterator[Row]]

PARTS: dict[str, Part] = {
    "ceilings": parts.measure_ceilings,
    "moves": parts.measure_moves,
    "sums": parts.measure_sums,
    "launches": parts.measure_launches,
    "ring": rings.measure_ring_in_process,
    "processes": lambda watch, ceiling: rings.measure_ring_of_processes(
        find_plugin(watch.plugin.kind), watch, ceiling
    ),
    "collectives": lambda _, __: measure_collectives(),
    "overlap": lambda _, __: measure_overlap(),
    "nccl1": lambda watch, _: measure_nccl(watch, 1),
    "nccl2": lambda watch, _: measure_nccl(watch, 2),
    "sweep-moves": parts.sweep_moves,
    "sweep-sums": parts.sweep_sums,
}


def main() -> int:
    """Measure one part, print it and write it down.

    Returns:
        0; 1 where there is no device.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True, help="folder for PART.json")
    parser.add_argument("--copy", type=Path, default=None, help="library made of device/copy.cu")
    parser.add_argument("--kind", default="cuda", help="plug-in (cuda)")
    chosen = parser.parse_args()
    plugin = Plugin(find_plugin(chosen.kind))
    count, reason = plugin.count_devices()
    if count == 0:
        print(f"[gpu] no device: {reason}", file=sys.stderr)
        return 1
    watch = Stopwatch(plugin)
    rows: list[Row] = []
    try:
        rows.extend(PARTS[chosen.part](watch, Ceiling(watch, chosen.copy)))
    finally:
        _tell(chosen.part, rows, chosen.out, plugin.look_at_device(0))
    return 0


def _tell(part: str, rows: list[Row], out: Path, facts: DeviceFacts) -> None:
    """Print and write what there is, complete or not."""
    out.mkdir(parents=True, exist_ok=True)
    record = {
        "part": part,
        "datetime": datetime.now(UTC).isoformat(),
        "commit": commit_info(),
        "cpu": cpu_name(),
        "device": facts.name.decode(),
        "multiprocessors": facts.multiprocessors,
        "driver": facts.driver_version,
        "cuda": facts.library_version,
        "rows": rows,
    }
    (out / f"{part}.json").write_text(json.dumps(record, indent=1) + "\n")
    names = list(dict.fromkeys(name for row in rows for name in row))
    body = [[row.get(name, "") for name in names] for row in rows]
    print(f"# {part} on {facts.name.decode()}")
    print(format_table([Column(name) for name in names], body), flush=True)


if __name__ == "__main__":
    sys.exit(main())
