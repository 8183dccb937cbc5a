"""Makes rank files as the recorder writes them."""

import json
from pathlib import Path

import pytest


def rank_document(rank: int, size: int, events: list[dict], /, **changes) -> dict:
    facts = {"schema": 1, "rank": rank, "size": size, "host": "h", "pid": 100 + rank}
    return facts | {"dropped": 0, "events": events} | changes


@pytest.fixture
def write_rank(tmp_path: Path):
    def write(rank: int, spans: list[tuple], /, *, size: int = 2, **changes) -> Path:
        """Each span is lane, name, start, end."""
        names = ("lane", "name", "start_ns", "end_ns")
        events = [dict(zip(names, span, strict=True)) for span in spans]
        path = tmp_path / f"rank.{rank:02d}.json"
        path.write_text(json.dumps(rank_document(rank, size, events, **changes)))
        return path

    return write
