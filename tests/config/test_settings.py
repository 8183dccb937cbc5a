"""Tuning: plain numbers, ringsync's own names before Horovod's, one sentence for a mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import _native
from ringsync.config import Settings, read_settings
from ringsync.errors import ConfigError
from ringsync.world import VARIABLES

NUMBERS = {
    "RINGSYNC_TIMEOUT_S": "timeout_s",
    "RINGSYNC_START_TIMEOUT_S": "start_timeout_s",
    "RINGSYNC_BUCKET_MIB": "bucket_mib",
    "HOROVOD_START_TIMEOUT": "start_timeout_s",
}


def test_nothing_set_means_the_defaults():
    assert read_settings({}) == Settings()
    assert read_settings(dict.fromkeys(NUMBERS, "")) == Settings()


@pytest.mark.parametrize("name", NUMBERS)
@given(value=st.floats(1e-6, 1e12))
def test_a_number_is_taken_as_it_is_written(name, value):
    assert getattr(read_settings({name: repr(value)}), NUMBERS[name]) == value


@pytest.mark.parametrize("name", [*NUMBERS, "HOROVOD_FUSION_THRESHOLD"])
@pytest.mark.parametrize(
    "text", ["64MB", "soon", "-1", "nan", "inf", "-inf", "1e999", "1,5", "0x10"]
)
def test_what_is_no_number_above_zero_is_named_with_its_value(name, text):
    with pytest.raises(ConfigError) as caught:
        read_settings({name: text})
    assert f"[config] {name}={text!r} is not a finite number above 0. Write " in str(caught.value)


@pytest.mark.parametrize("name", ["RINGSYNC_STALL_WARN_S", "RINGSYNC_STALL_ABORT_S"])
def test_where_zero_is_allowed_the_refusal_says_so(name):
    assert read_settings({name: "0"}) != Settings()
    for text in ("inf", "-1"):
        with pytest.raises(ConfigError, match=rf"{name}='{text}' is not a finite number from 0\. "):
            read_settings({name: text})


@pytest.mark.parametrize("name", NUMBERS)
def test_zero_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name}='0'"):
        read_settings({name: "0"})


def test_horovod_s_fusion_threshold_is_in_bytes():
    assert read_settings({"HOROVOD_FUSION_THRESHOLD": str(16 * 2**20)}).bucket_mib == 16.0


def test_horovod_s_way_to_switch_fusion_off_is_no_error():
    # HOROVOD_FUSION_THRESHOLD=0 disables fusion there, and stands in many job scripts.
    assert read_settings({"HOROVOD_FUSION_THRESHOLD": "0"}).bucket_mib > 0


def test_ringsync_s_own_names_come_first():
    settings = read_settings(
        {
            "RINGSYNC_BUCKET_MIB": "3",
            "HOROVOD_FUSION_THRESHOLD": str(2**20),
            "RINGSYNC_START_TIMEOUT_S": "4",
            "HOROVOD_START_TIMEOUT": "5",
        }
    )
    assert (settings.bucket_mib, settings.start_timeout_s) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RINGSYNC_STALLWARN_S", "RINGSYNC_STALL_WARN_S"),
        ("RINGSYNC_TIMEOUT", "RINGSYNC_TIMEOUT_S"),
        ("RINGSYNC_RENDEVOUS", "RINGSYNC_RENDEZVOUS"),
        ("RINGSYNC_LOGS_OF_MINE", None),
        ("STALLWARN_S", None),
        ("HOROVOD_STALL_CHEK_TIME_SECONDS", "HOROVOD_STALL_CHECK_TIME_SECONDS"),
        ("HOROVOD_START_TIMOEUT", "HOROVOD_START_TIMEOUT"),
        ("HOROVOD_FUSION_TRESHOLD", "HOROVOD_FUSION_THRESHOLD"),
        ("HOROVOD_TIMELNIE", "HOROVOD_TIMELINE"),
        ("HOROVOD_TIMELIME", "HOROVOD_TIMELINE"),
    ],
)
def test_a_name_that_is_nearly_right_is_noticed(name, near):
    right = dict.fromkeys([*NUMBERS, *VARIABLES, "RINGSYNC_TIMELINE"], "1")
    assert read_settings(right | {name: "1"}).misspelt == (((name, near),) if near else ())


def test_horovod_s_names_that_mean_nothing_here_are_no_slips():
    names = [
        "ADASUM_MPI_CHUNK_SIZE", "AUTOTUNE", "AUTOTUNE_LOG", "BATCH_D2D_MEMCOPIES",
        "CACHE_CAPACITY", "CONTROLLER", "CPU_OPERATIONS", "CROSS_RANK", "CROSS_SIZE", "CYCLE_TIME",
        "DISABLE_GROUP_FUSION", "DYNAMIC_PROCESS_SETS", "ELASTIC", "ELASTIC_TIMEOUT",
        "ENABLE_ASYNC_COMPLETION", "FUSION_BUFFER_THRESHOLD", "GLOO_IFACE", "GLOO_TIMEOUT_SECONDS",
        "GPU_OPERATIONS", "HIERARCHICAL_ALLGATHER", "HIERARCHICAL_ALLREDUCE", "HOSTNAME",
        "LOCAL_RANK", "LOCAL_SIZE", "LOG_HIDE_TIME", "LOG_LEVEL", "LOG_TIMESTAMP",
        "MPI_THREADS_DISABLE", "NUM_NCCL_STREAMS", "RANK", "SIZE", "STALL_CHECK_DISABLE",
        "THREAD_AFFINITY", "TIMELINE_MARK_CYCLES",
    ]  # fmt: skip
    assert read_settings({f"HOROVOD_{name}": "" for name in names}).misspelt == ()


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_a_thread_count_of_the_user_s_is_noticed(name):
    assert read_settings({name: "1"}).has_thread_count
    assert not read_settings({name: ""}).has_thread_count


def test_the_algorithm_and_the_timeline_are_read():
    settings = read_settings({"RINGSYNC_ALGORITHM": "ring", "RINGSYNC_TIMELINE": "out"})
    assert (settings.algorithm, settings.timeline) == ("ring", "out")


@pytest.mark.parametrize("name", ["", "direct", "ring", "halving_doubling", "tree"])
def test_an_algorithm_that_can_be_chosen_is_taken(name):
    assert read_settings({"RINGSYNC_ALGORITHM": name}).algorithm == name


@pytest.mark.parametrize("name", ["rings", "RING", "direct_alltoall"])
def test_what_is_no_algorithm_to_choose_is_named_with_those_that_are(name):
    with pytest.raises(ConfigError) as caught:
        read_settings({"RINGSYNC_ALGORITHM": name})
    assert str(caught.value) == (
        f"[config] RINGSYNC_ALGORITHM={name!r} is none to choose; one of direct, ring, "
        "halving_doubling, tree is expected. Correct it, or leave it empty for the cheapest."
    )


def test_each_algorithm_can_be_chosen_unless_it_is_taken_wherever_it_applies():
    refused = []
    for name in _native.algorithm_names():
        try:
            read_settings({"RINGSYNC_ALGORITHM": name})
        except ConfigError:
            refused.append(name)
    assert refused == [
        "direct_broadcast",
        "direct_allgather",
        "direct_reduce_scatter",
        "direct_alltoall",
    ]


def test_horovod_s_timeline_is_one_unless_it_waits_for_the_script():
    path, dynamic = {"HOROVOD_TIMELINE": "theirs"}, {"HOROVOD_TIMELINE": "DYNAMIC"}
    assert read_settings(path).timeline == "theirs"
    assert read_settings(path | {"RINGSYNC_TIMELINE": "ours"}).timeline == "ours"
    assert read_settings(dynamic).timeline == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072"),
    ],
)
def test_what_the_user_decides_on_freed_memory_counts(name, value):
    assert read_settings({name: value}).has_heap_choice
    assert not read_settings({name: ""}).has_heap_choice
    assert not read_settings({"GLIBC_TUNABLES": "glibc.rtld.nns=1"}).has_heap_choice
