"""The recorder's file: whole or not there, and one error of ours where it cannot be written."""

import json

import pytest

from ringsync.errors import ConfigError, RingsyncError
from ringsync.recorder import Recorder
from ringsync.world import World


class Log:
    """Stands for the engine, which keeps the events."""

    def start_events(self):
        pass

    def stop_events(self):
        pass

    def take_events(self):
        return [("train", "step", 1, 2, "", 0)]

    def dropped_events(self):
        return 0

    def record_event(self, *_):
        pass


@pytest.fixture
def recorder():
    return Recorder(Log(), World(rank=1, size=2))


def test_what_was_recorded_is_one_file_of_the_rank(recorder, tmp_path):
    recorder.start(tmp_path / "made")
    recorder.stop()
    [path] = (tmp_path / "made").iterdir()
    assert path.name == "rank.01.json"
    assert [event["name"] for event in json.loads(path.read_text())["events"]] == ["step"]


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_behind(recorder, tmp_path):
    recorder.start(tmp_path)
    (tmp_path / "rank.01.json.part").symlink_to("/dev/full")
    with pytest.raises(RingsyncError) as caught:
        recorder.stop()
    assert f"[timeline] '{tmp_path / 'rank.01.json'}' cannot be written: No space" in str(
        caught.value
    )
    assert list(tmp_path.iterdir()) == []
    recorder.stop()  # it is over


def test_a_place_that_is_taken_is_one_clear_error_and_leaves_nothing_behind(recorder, tmp_path):
    (tmp_path / "rank.01.json").mkdir()
    recorder.start(tmp_path)
    with pytest.raises(RingsyncError, match=r"'.*rank\.01\.json' cannot be written: Is a dir"):
        recorder.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["rank.01.json"]


@pytest.mark.parametrize("path", [None, 3, b"name", "with\0zero", "half of a \ud800"], ids=ascii)
def test_what_names_no_directory_is_refused(recorder, path):
    with pytest.raises(ConfigError, match=r"\[timeline\] path=.* a directory is expected"):
        recorder.start(path)
