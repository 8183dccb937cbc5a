"""Ranks compare what they run: differences are told, versions that cannot talk refused."""

import logging
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringsync import preflight, version
from ringsync._native import memory_store
from ringsync.config import Settings
from ringsync.errors import ConfigError, RendezvousError
from ringsync.preflight import (
    compare_ranks,
    describe_differences,
    find_refusal,
    gather_facts,
)
from ringsync.world import World

from ..ranks import DEADLINE_S, side_by_side

EQUAL = {"ringsync": ("0.1.0", "0.1.0"), "NumPy": ("2.1.0", "2.1.0"), "script": ("ab", "x.py (ab)")}


def having(**values):
    return EQUAL | {name: (value, value) for name, value in values.items()}


def meet(every, timeout_s=DEADLINE_S):
    """What each rank's comparison raises, or None; one whose facts are None does not come."""
    store = memory_store()

    def compare(rank):
        world = World(rank=rank, size=len(every), local_size=len(every))
        if every[rank] is not None:
            compare_ranks(store, world, every[rank], timeout_s)

    return side_by_side(len(every), compare)


@given(size=st.integers(1, 8))
def test_equal_ranks_have_nothing_to_tell(size):
    assert describe_differences([EQUAL] * size) == ""
    assert find_refusal(["0.1.0"] * size) == ""


@given(size=st.integers(3, 8), data=st.data())
def test_the_odd_rank_stands_first_with_both_values(size, data):
    odd = data.draw(st.integers(0, size - 1))
    every = [EQUAL] * size
    every[odd] = having(NumPy="1.26.4")
    told = describe_differences(every)
    assert told.startswith(f"NumPy is 1.26.4 on rank {odd}, 2.1.0 on ranks ")


def test_of_two_ranks_the_second_is_the_odd_one():
    told = describe_differences([EQUAL, having(NumPy="1.26.4")])
    assert told == "NumPy is 1.26.4 on rank 1, 2.1.0 on rank 0"


def test_all_that_differs_stands_in_one_line_and_neighbours_are_joined():
    every = [EQUAL, EQUAL, having(NumPy="1.9"), having(script="cd"), EQUAL, EQUAL]
    assert describe_differences(every) == (
        "NumPy is 1.9 on rank 2, 2.1.0 on ranks 0-1, 3-5; "
        "script is cd on rank 3, x.py (ab) on ranks 0-2, 4-5"
    )


def test_a_rank_for_each_value_does_not_make_an_endless_line():
    told = describe_differences([having(NumPy=str(rank)) for rank in range(100)])
    assert told == "NumPy is 99 on rank 99, 98 on rank 98, 97 on rank 97, 96 more, 0 on rank 0"


def test_a_fact_that_a_rank_does_not_tell_is_said():
    told = describe_differences([EQUAL, {name: EQUAL[name] for name in ("ringsync", "script")}])
    assert told == "NumPy is (not told) on rank 1, 2.1.0 on rank 0"


def test_a_copy_of_the_script_elsewhere_is_the_same_script():
    assert describe_differences([EQUAL, EQUAL | {"script": ("ab", "/copy/x.py (ab)")}]) == ""


@pytest.mark.parametrize(
    ("versions", "can_talk"),
    [
        (["0.1.0", "0.1.7"], True),
        (["0.1.0", "0.2.0"], False),
        (["0.1.0", "1.1.0"], False),
    ],
)
def test_a_minor_version_before_the_first_major_one_cannot_talk_to_another(versions, can_talk):
    assert (find_refusal(versions) == "") is can_talk


def test_versions_that_cannot_talk_are_an_error_on_every_rank_that_names_both():
    outcomes = meet([EQUAL, EQUAL, having(ringsync="0.2.0"), EQUAL])
    assert all(isinstance(outcome, RendezvousError) for outcome in outcomes)
    assert {str(outcome) for outcome in outcomes} == {
        "[rendezvous] rank 2 of 4 runs ringsync 0.2.0, rank 0 runs 0.1.0, and these versions "
        "cannot talk to each other. Install one version for all ranks."
    }


def test_another_algorithm_is_an_error_on_every_rank_that_names_both():
    alike = having(RINGSYNC_ALGORITHM="(none)")
    outcomes = meet([alike, having(RINGSYNC_ALGORITHM="ring", NumPy="1.26.4"), alike])
    assert all(isinstance(outcome, ConfigError) for outcome in outcomes)
    assert {str(outcome) for outcome in outcomes} == {
        "[preflight] RINGSYNC_ALGORITHM is ring on rank 1, (none) on ranks 0, 2. "
        "Set it alike on all ranks, or on none."
    }


def test_a_difference_is_one_warning_of_rank_0_and_no_error(caplog):
    with caplog.at_level(logging.WARNING, logger="ringsync"):
        assert meet([EQUAL, having(NumPy="1.26.4"), EQUAL]) == [None] * 3
    assert caplog.messages == [
        "[preflight] ranks differ: NumPy is 1.26.4 on rank 1, 2.1.0 on ranks 0, 2. "
        "Start all ranks alike."
    ]


def test_equal_ranks_say_nothing(caplog):
    assert meet([EQUAL] * 4) == [None] * 4
    assert caplog.messages == []


def test_facts_are_the_versions_the_script_and_what_must_be_set_alike(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("pass\n")
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setattr(version, "__version__", "9.9.9")
    monkeypatch.setattr(np, "__version__", "9.9")
    facts = gather_facts(Settings(bucket_mib=3.0, timeout_s=5.0, algorithm="ring"))
    shown = {name: value for name, (_, value) in facts.items()}
    assert shown.pop("script").startswith(f"{script} (")
    assert shown == {
        "ringsync": "9.9.9",
        "Python": ".".join(map(str, sys.version_info[:3])),
        "NumPy": "9.9",
        "RINGSYNC_TIMEOUT_S": "5",
        "RINGSYNC_STALL_ABORT_S": "600",
        "RINGSYNC_BUCKET_MIB": "3",
        "RINGSYNC_DEVICE_PLUGIN": "cuda",
        "RINGSYNC_NCCL": "auto",
        "misspelt variable": "(none)",
        "RINGSYNC_ALGORITHM": "ring",
    }


def test_a_limit_that_is_not_set_is_none():
    shown = {name: value for name, (_, value) in gather_facts(Settings(stall_abort_s=9)).items()}
    assert (shown["RINGSYNC_TIMEOUT_S"], shown["RINGSYNC_STALL_ABORT_S"]) == ("(none)", "9")


def test_a_script_is_known_by_its_content(tmp_path, monkeypatch):
    keys = []
    for name, text in (("a.py", "1"), ("b.py", "1"), ("c.py", "2")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(sys, "argv", [str(tmp_path / name)])
        keys.append(gather_facts(Settings())["script"][0])
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("argv", [[], [""], ["-c"], ["/proc/no/such/file"], ["/dev/tty"], ["\0"]])
def test_what_is_no_script_does_not_matter(argv, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    key, shown = gather_facts(Settings())["script"]
    assert key == (argv or [""])[0]
    assert shown == (key or "(none)")


def test_a_rank_that_does_not_read_the_refusal_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(preflight, "_FAREWELL_S", 0.1)
    monkeypatch.setattr(preflight, "_part", _part_of_rank_0_alone)
    outcomes = meet([EQUAL, having(ringsync="7.0")])
    assert ["rank 1 of 2 runs ringsync 7.0" in str(outcome) for outcome in outcomes] == [True] * 2


_part = preflight._part


def _part_of_rank_0_alone(store, world):
    if world.rank == 0:
        _part(store, world)


@given(size=st.integers(2, 8), data=st.data())
@settings(max_examples=3)  # each waits
def test_all_ranks_that_do_not_come_are_named_by_all_that_do(size, data):
    late = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=size - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "_FAREWELL_S", 0.0)
        outcomes = meet([None if rank in late else EQUAL for rank in range(size)], timeout_s=1.0)
    told = f"[rendezvous] ranks {{{', '.join(map(str, sorted(late)))}}} of {size} missing after 1.0"
    for rank, outcome in enumerate(outcomes):
        assert (outcome is None) if rank in late else str(outcome).startswith(told)
