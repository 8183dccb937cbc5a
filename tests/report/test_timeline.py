"""A rank file is taken as a whole or refused by name, with what is wrong in it."""

import json

import pytest

from ringsync.errors import ConfigError
from ringsync.report.timeline import Event, load_directory, load_rank

GOOD = {"lane": "train", "name": "step", "start_ns": 1, "end_ns": 2}


def test_a_valid_file_is_read_exactly(write_rank):
    path = write_rank(1, [("train", "step", 1, 1)], dropped=3)
    timeline = load_rank(path)
    assert (timeline.rank, timeline.size, timeline.pid, timeline.dropped) == (1, 2, 101, 3)
    assert timeline.events == (Event("train", "step", 1, 1, {}),)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"schema": 2}, "has schema 2, not 1"),
        ({"schema": None}, "has schema None, not 1"),
        ({"rank": 2}, r"has rank 2, which is not in 0\.\.1"),
        ({"rank": True}, "has rank True, which is not of type int"),
        ({"rank": "0"}, "has rank '0', which is not of type int"),
        ({"size": 0}, "has size 0"),
        ({"host": ""}, "has a host of 0 characters"),
        ({"host": "h" * 2000}, "has a host of 2000 characters"),
        ({"events": {}}, "has events {}, which is not of type list"),
        ({"events": [7]}, "event 0, is not a JSON object"),
        ({"events": [GOOD, GOOD | {"end_ns": 0}]}, "event 1, has a negative duration"),
        ({"events": [GOOD | {"start_ns": 1.5}]}, "which is not of type int"),
        ({"events": [GOOD | {"start_ns": -1}]}, "has start_ns -1"),
        ({"events": [GOOD | {"args": [1]}]}, "has args"),
        ({"events": [{"lane": "train"}]}, "event 0, has no field 'start_ns'"),
    ],
)
def test_a_wrong_field_is_named(write_rank, changes, part):
    path = write_rank(0, [], **changes)
    with pytest.raises(ConfigError, match=part) as caught:
        load_rank(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("field", ["rank", "size", "host", "pid", "dropped", "events"])
def test_a_missing_field_is_named(write_rank, field):
    path = write_rank(0, [])
    document = json.loads(path.read_text())
    del document[field]
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=f"has no field '{field}'"):
        load_rank(path)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN}', b'{"schema": 1e999}']
)
def test_what_is_not_json_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "rank.00.json"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="is not JSON"):
        load_rank(path)


def test_an_array_is_not_a_timeline(tmp_path):
    path = tmp_path / "rank.00.json"
    path.write_text("[]")
    with pytest.raises(ConfigError, match="is not a JSON object"):
        load_rank(path)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "rank.00.json"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(ConfigError, match="has 1073741825 bytes"):
        load_rank(path)


def test_files_of_different_runs_are_not_mixed(write_rank, tmp_path):
    write_rank(0, [], size=2)
    write_rank(1, [], size=3)
    with pytest.raises(ConfigError, match=r"job of 3 ranks, rank\.00\.json of 2"):
        load_directory(tmp_path)


def test_two_files_of_one_rank_are_refused(write_rank, tmp_path):
    write_rank(0, [])
    write_rank(1, [], rank=0)
    with pytest.raises(ConfigError, match=r"rank\.00\.json are both of rank 0"):
        load_directory(tmp_path)


def test_a_directory_without_files_and_no_directory_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no rank\.NN\.json"):
        load_directory(tmp_path)
    with pytest.raises(ConfigError, match="is not a directory"):
        load_directory(tmp_path / "none")
