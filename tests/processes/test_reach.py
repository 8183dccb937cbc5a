"""Ranks that reach into each other's private memory: never once its owner has given up."""

import signal

import pytest

# Rank 0 gives up on rank 1, which the test stops somewhere in a stream of allreduces of private
# memory, and takes its array back.
GIVING_UP = """
LIMIT_S = {limit_s} if RANK == 0 else 20.0
rs.init()
array = np.ones(4_000_000, np.int64)
try:
    for turn in range(1_000_000):
        array.fill(1)
        rs.allreduce_(array, op=rs.Average, timeout_s=LIMIT_S)
        if turn == 5:
            tell(f"streaming{{RANK}}")
except errors.TimedOutError as error:
    array.fill(-7)
    print(RANK, "gave up")
    tell("back")
    await_word("over")
    print({{int(array.min()), int(array.max())}})
except errors.PeerLostError as error:
    print(RANK, "lost", error.rank)
    tell("over")
"""


# Where in its work the other is stopped is left to chance: mostly while it divides integers, which
# takes longer than all else, and so right before it writes.
@pytest.mark.parametrize("limit_s", [1.0, 1.1, 1.2, 1.3])
def test_a_rank_that_gives_up_finds_its_array_as_it_left_it(jobs, limit_s):
    job = jobs.start(2, GIVING_UP.format(limit_s=limit_s))
    for rank in range(2):
        job.word(f"streaming{rank}")
    job.kill(1, signal.SIGSTOP)
    job.word("back")
    job.kill(1, signal.SIGCONT)
    ended = job.end()
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[0].said == ["0 gave up", "{-7}"]
    assert ended[1].said == ["1 lost 0"]
    assert jobs.remains() == []


def test_a_rank_that_shuts_down_amid_an_operation_is_written_by_nobody(jobs):
    ended = jobs.run(
        2,
        """
        rs.init()
        array = np.ones(40_000_000, np.float32)
        if RANK == 0:
            handle = rs.allreduce_async_(array)
            rs.shutdown()
            array.fill(-7)
            tell("taken back")
            try:
                handle.wait()
            except errors.NotInitializedError:
                print("ended")
            await_word("lost")
            print({float(array.min()), float(array.max())})
        else:
            try:
                rs.allreduce_(array)
            except errors.PeerLostError as error:
                print("lost", error.rank)
            tell("lost")
        """,
    )
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[0].said == ["ended", "{-7.0}"]
    assert ended[1].said == ["lost 0"]


# A rank that is kept from a system call, by a filter of the kernel's that it sets itself: the call
# fails, or waits until `supervise` lets it go on.
FILTER = """
import ctypes, platform, threading
libc = ctypes.CDLL(None, use_errno=True)
READ, WRITE = {{"x86_64": (310, 311), "aarch64": (270, 271)}}[platform.machine()]
SECCOMP = {{"x86_64": 317, "aarch64": 277}}[platform.machine()]

class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte),
                ("k", ctypes.c_uint)]

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("first", ctypes.POINTER(Instruction))]

def keep_from(number, action, flags):
    # Load the call's number; if it is this one take the action, else allow it.
    code = (Instruction * 4)((0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, action),
                             (6, 0, 0, 0x7FFF0000))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    made = libc.syscall(SECCOMP, 1, flags, ctypes.byref(Program(4, code)))
    assert made >= 0, os.strerror(ctypes.get_errno())
    return made

def supervise(listener):
    # Lets every call go on, but for those after "hold", which wait for "let go".
    while True:
        heard = ctypes.create_string_buffer(80)
        if libc.ioctl(listener, 0xC0502100, heard) != 0:
            return
        if (BOARD / "hold").exists():
            tell("held")
            await_word("let go")
        answer = ctypes.create_string_buffer(heard.raw[:8] + bytes(12) + b"\\1\\0\\0\\0", 24)
        libc.ioctl(listener, 0xC0182101, answer)
"""


def test_ranks_that_may_not_reach_each_other_do_without(jobs):
    ended = jobs.run(
        3,
        FILTER.format()
        + """
if RANK == 1:
    keep_from(READ, 0x00050001, 0)  # EPERM
rs.init()
array = np.full(2_000_000, RANK + 1.0)
rs.allreduce_(array, op=rs.Sum)
print(set(array.tolist()))
""",
    )
    assert [one.code for one in ended] == [0] * 3, [one.err for one in ended]
    assert [one.said for one in ended] == [["{6.0}"]] * 3


# What rank 1 is about to write where, when it finds out whether it can reach rank 0.
TRIAL = """
import struct

def look(listener):
    heard = ctypes.create_string_buffer(80)
    libc.ioctl(listener, 0xC0502100, heard)
    pid, local, _, remote, _, _ = struct.unpack_from("6Q", heard.raw, 32)
    given = ctypes.string_at(*struct.unpack("2Q", ctypes.string_at(local, 16)))
    address, length = struct.unpack("2Q", ctypes.string_at(remote, 16))
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        print("changes", memory.read(length) != given)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        begin, end = (int(place, 16) for place in line.split()[0].split("-"))
        if begin <= address < end:
            print("shared", "memfd:ringsync" in line)
    answer = ctypes.create_string_buffer(heard.raw[:8] + bytes(12) + b"\\1\\0\\0\\0", 24)
    libc.ioctl(listener, 0xC0182101, answer)
    supervise(listener)

if RANK == 1:
    listener = keep_from(WRITE, 0x7FC00000, 8)  # a listener decides
    threading.Thread(target=look, args=(listener,), daemon=True).start()
rs.init()
rs.barrier()
"""


def test_the_trial_writes_back_what_lies_in_memory_that_nobody_shares(jobs):
    ended = jobs.run(2, FILTER.format() + TRIAL)
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[1].said == ["changes False", "shared False"]


@pytest.mark.parametrize(
    "call",
    [
        "rs.allreduce_(array, op=rs.Sum, timeout_s=LIMIT_S)",
        "rs.grouped_allreduce_([array, np.ones(3)], timeout_s=LIMIT_S)",
    ],
)
def test_what_a_stopped_writer_may_yet_write_to_is_never_freed(jobs, call):
    job = jobs.start(
        2,
        FILTER.format()
        + f"CALL = {call!r}"
        + """
import gc, weakref
LIMIT_S = 1.0 if RANK == 0 else 20.0
if RANK == 1:
    listener = keep_from(WRITE, 0x7FC00000, 8)  # a listener decides
    threading.Thread(target=supervise, args=(listener,), daemon=True).start()
rs.init()
memory = bytearray(64_000_000)
array = np.frombuffer(memory, np.float32)
rs.allreduce_(array, op=rs.Sum)
tell(f"ready{RANK}")
await_word("hold")
try:
    begin_s = time.monotonic()
    exec(CALL)
except errors.TimedOutError:
    # A second more than its limit, for a writer that goes on; this one does not before "let go".
    print("gave up", time.monotonic() - begin_s > 1.5)
    held = weakref.ref(array)
    del array
    gc.collect()
    rs.shutdown()
    print("kept", held() is not None)
    tell("let go")
    await_word("over")
except errors.PeerLostError as error:
    print("lost", error.rank)
    tell("over")
""",
    )
    for rank in range(2):
        job.word(f"ready{rank}")
    job.tell("hold")
    ended = job.end()
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    assert ended[0].said == ["gave up True", "kept True"]
    assert ended[1].said == ["lost 0"]


def test_a_rank_that_ends_amid_an_operation_is_the_one_that_is_named(jobs):
    # It says nothing when it ends, and its memory is gone while others still read it.
    ended = jobs.run(
        3,
        """
        rs.init()
        array = np.ones(30_000_000)
        if RANK == 0:
            handle = rs.broadcast_async_(array, 0)
        else:
            try:
                rs.broadcast_(array, 0)
            except errors.PeerLostError as error:
                print("lost", error.rank)
        """,
    )
    assert [one.code for one in ended] == [0] * 3, [one.err for one in ended]
    assert [one.said for one in ended[1:]] == [["lost 0"]] * 2
