"""NCCL as scripts meet it: several processes, the environment, and what is told of it.

On the simulated device, with the fake NCCL.
"""

from ctypes.util import find_library

import pytest

from bench.device.plugin import find_plugin

from ..processes.job import Jobs, require_ended
from .conftest import ROOT
from .test_nccl_library import without
from .test_scripts import LIBRARY

WAYS = """
from ringsync.runtime import current

def way():
    # By what one sum is made, on all ranks alike.
    engine = current().engine
    engine.start_events()
    x = there(np.full(100_000, RANK + 1))
    rs.allreduce_(x, op=rs.Sum)
    assert set(here(x)) == {3.0}
    engine.stop_events()
    (name,) = {name for _, name, *_ in engine.take_events()} & {"run", "nccl"}
    return name

def seek(wanted, limit_s=20.0):
    limit = time.monotonic() + limit_s
    while (found := way()) != wanted and time.monotonic() < limit:
        pass
    return found

def sum_until_told(tellers, limit_s=20.0):
    # By what sums are made until so many ranks have told something, and after that. All ranks make
    # the same calls: one whose time is up counts for all.
    limit = time.monotonic() + limit_s
    found, told = set(), 0
    while told < tellers:
        found.add(way())
        own = SIZE if time.monotonic() > limit else os.fstat(2).st_size > 0
        told = rs.allreduce(np.array([float(own)]), op=rs.Sum)[0]
    return found | {way() for _ in range(20)}
"""
SIMULATED = {"RINGSYNC_DEVICE_PLUGIN": "hostsim"}
FAKE_FILE = str(find_plugin("fake_nccl"))
FAKE = SIMULATED | {"RINGSYNC_NCCL_LIB": FAKE_FILE}


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close()


def test_ranks_find_it_and_sum_by_it_from_then_on(jobs):
    script = LIBRARY + WAYS + "print(seek('nccl'), way(), way())\n"
    ended = jobs.run(2, script, **FAKE)
    require_ended(ended)
    assert [one.said for one in ended] == [["nccl nccl nccl"]] * 2
    assert [one.err for one in ended] == ["", ""]
    assert jobs.remains() == []


def test_versions_without_windows_sum_in_memory_of_the_devices(jobs, tmp_path):
    library = without(tmp_path, "ncclCommWindowRegister")
    (tmp_path / "libringsync_hostsim.so").symlink_to(find_plugin("hostsim"))  # looked for beside it
    script = LIBRARY + WAYS + "print(seek('nccl'), way(), way())\n"
    ended = jobs.run(2, script, **FAKE | {"RINGSYNC_NCCL_LIB": str(library)})
    require_ended(ended)
    assert [one.said for one in ended] == [["nccl nccl nccl"]] * 2
    assert [one.err for one in ended] == ["", ""]


@pytest.mark.parametrize(
    "settings",
    [
        SIMULATED,
        # Too old: whoever looks for it tells so.
        FAKE | {"RINGSYNC_NCCL": "off", "FAKE_NCCL": "version=21700"},
    ],
    ids=["nobody named it", "off"],
)
def test_nothing_is_told_of_it_where_nobody_wants_it_or_has_named_one(jobs, settings):
    script = LIBRARY + WAYS + "print({way() for _ in range(20)})\n"
    ended = jobs.run(2, script, **settings)
    require_ended(ended)
    assert [one.said for one in ended] == [["{'run'}"]] * 2
    assert [one.err for one in ended] == ["", ""]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            "version=22801",
            [
                "rank 1 has NCCL 2.28.1, rank 0 has NCCL 2.27.3. Install one version for all.",
                "",
            ],
        ),
        (
            "version=21700",
            [
                "it fails on rank 1. Read what rank 1 says.",
                f"[nccl] {FAKE_FILE} is version 2.17.0; 2.18.0 is the oldest that serves.",
            ],
        ),
        ("init=fail", ["", "[nccl] its work failed on rank 1 of 2: unhandled system error"]),
    ],
    ids=["another version", "too old", "cannot join"],
)
def test_what_keeps_ranks_apart_is_told_once_and_work_goes_on(jobs, fault, told):
    script = LIBRARY + WAYS + f"print(sum_until_told({sum(map(bool, told))}))\n"
    job = jobs.start(2, script, start=1, **FAKE)
    jobs.add(job, 1, **FAKE, FAKE_NCCL=fault)
    ended = job.end()
    require_ended(ended)
    assert [one.said for one in ended] == [["{'run'}"]] * 2
    for rank, words in enumerate(told):
        how = f"[ringsync] rank {rank} of 2 sums arrays on devices without NCCL: {words}"
        assert ended[rank].err.startswith(how if words else "")
        assert ended[rank].err.count("\n") == bool(words)


def test_a_file_that_is_none_is_told_once_and_work_goes_on(jobs, tmp_path):
    script = LIBRARY + WAYS + "print(sum_until_told(2))\n"
    ended = jobs.run(2, script, **(FAKE | {"RINGSYNC_NCCL_LIB": str(tmp_path / "none.so")}))
    require_ended(ended)
    assert [one.said for one in ended] == [["{'run'}"]] * 2
    told = ended[0].err
    assert told.startswith("[ringsync] rank 0 of 2 sums arrays on devices without NCCL: [nccl] ")
    assert told.count("\n") == 1
    assert "none.so, which cannot be loaded" in told


# As where a package of NCCL's is installed, which nobody has named.
FOUND = """
from ringsync import nccl, runtime
runtime.choose_nccl = lambda _: nccl.Choice(is_wanted=True, candidates=({file!r},))
"""


@pytest.mark.parametrize(
    ("file", "words"),
    [(FAKE_FILE, "is version 2.17.0;"), ("/none/libnccl.so.2", "no NCCL can be loaded:")],
    ids=["too old", "broken"],
)
def test_one_that_is_found_and_of_no_use_is_told_on_each_rank(jobs, file, words):
    script = FOUND.format(file=file) + LIBRARY + WAYS + "print(sum_until_told(2))\n"
    ended = jobs.run(2, script, **SIMULATED, FAKE_NCCL="version=21700")
    require_ended(ended)
    for rank, one in enumerate(ended):
        how = f"[ringsync] rank {rank} of 2 sums arrays on devices without NCCL: [nccl] "
        assert one.err.startswith(how)
        assert words in one.err
        assert one.err.count("\n") == 1


@pytest.mark.skipif(find_library("nccl") is not None, reason="this machine has NCCL for all")
@pytest.mark.parametrize("rank", [0, 1])
def test_the_one_rank_that_has_none_is_named(jobs, rank):
    places = [FAKE_FILE, FAKE_FILE]
    places[rank] = ""
    script = f"""
import os
from ringsync import nccl, runtime
files = [file for file in [{places}[int(os.environ["RANK"])]] if file]
runtime.choose_nccl = lambda _: nccl.Choice(is_wanted=True, candidates=tuple(files))
{LIBRARY}{WAYS}
print(sum_until_told(1))
"""
    ended = jobs.run(2, script, **SIMULATED)
    require_ended(ended)
    has = ["NCCL 2.27.3", "NCCL 2.27.3"]
    has[rank] = "no NCCL"
    assert [one.err for one in ended] == [
        "[ringsync] rank 0 of 2 sums arrays on devices without NCCL: "
        f"rank 1 has {has[1]}, rank 0 has {has[0]}. Install one version for all.\n",
        "",
    ]


def test_a_killed_rank_is_named_by_the_others_whose_sums_end(jobs):
    script = f"""{LIBRARY}{WAYS}
seek("nccl")
tell(f"ready{{RANK}}")
if RANK == 1:
    time.sleep(60)  # until it is killed
x = there(np.ones(100_000))
began_s = time.monotonic()
try:
    rs.allreduce_(x)
except errors.PeerLostError as error:
    print(error.rank, time.monotonic() - began_s < 10)
"""
    job = jobs.start(2, script, **FAKE)
    for rank in range(2):
        job.word(f"ready{rank}")
    job.kill(1)
    ended = job.end()
    assert ended[0].said == ["1 True"], ended[0].err
    assert jobs.remains() == []


ADOPT = f"""
sys.path.insert(0, {str(ROOT)!r})
from tests.gpu.nccl_owner import Owner
owner = Owner()
unique_id = rs.broadcast_object(owner.make_id() if RANK == 0 else None)
communicator = owner.join(SIZE, unique_id, RANK)
"""


def test_a_script_s_own_communicator_is_adopted_and_left_to_it(jobs):
    script = f"""{LIBRARY}{WAYS}{ADOPT}
pair = rs.new_group([0, 1])
rs.adopt_nccl(communicator, group=pair)
try:
    rs.adopt_nccl(communicator)
except errors.ConfigError as error:
    print(error)

def way():
    engine = current().engine
    engine.start_events()
    rs.allreduce_(there(np.full(100_000, RANK + 1)), group=pair)
    engine.stop_events()
    (name,) = {{name for _, name, *_ in engine.take_events()}} & {{"run", "nccl"}}
    return name

print(seek("nccl"), way())
rs.shutdown()
print(set(communicator.sum(np.ones(1000, np.float32)).tolist()))
communicator.destroy()
"""
    ended = jobs.run(2, script, **FAKE)
    require_ended(ended)
    told = "[adopt_nccl] group {0, 1} has adopted the communicator. Make one for each group."
    assert [one.said for one in ended] == [[told, "nccl nccl", "{2.0}"]] * 2
    assert [one.err for one in ended] == ["", ""]
    assert jobs.remains() == []


def test_what_is_no_communicator_cannot_be_adopted(jobs):
    script = f"""{LIBRARY}{ADOPT}
communicator.destroy()
for one in (communicator, None, 17):
    try:
        rs.adopt_nccl(one)
    except errors.ConfigError as error:
        print(error)
"""
    ended = jobs.run(1, script, **FAKE)
    require_ended(ended)
    words = (
        "is no communicator that can be adopted; CuPy's is expected. Pass a "
        "cupy.cuda.nccl.NcclCommunicator."
    )
    assert ended[0].said == [
        "[adopt_nccl] the communicator has been destroyed or aborted. Pass one that works.",
        f"[adopt_nccl] 'NoneType' {words}",
        f"[adopt_nccl] 'int' {words}",
    ]


def test_a_killed_rank_of_an_adopted_communicator_is_named_by_the_others(jobs):
    script = f"""{LIBRARY}{WAYS}{ADOPT}
rs.adopt_nccl(communicator)
seek("nccl")
tell(f"ready{{RANK}}")
if RANK == 1:
    time.sleep(60)  # until it is killed
x = there(np.ones(100_000))
began_s = time.monotonic()
try:
    rs.allreduce_(x)
except errors.PeerLostError as error:
    print(error.rank, time.monotonic() - began_s < 10)
"""
    job = jobs.start(2, script, **FAKE)
    for rank in range(2):
        job.word(f"ready{rank}")
    job.kill(1)
    ended = job.end()
    assert ended[0].said == ["1 True"], ended[0].err
    assert jobs.remains() == []
