"""Whatever else talks to a job's socket does the job no harm."""

import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ringsync import _native

from ..ranks import side_by_side, until, values_of

DEADLINE_S = 10.0

GARBAGE = {
    "http": [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    "nothing": [b""],
    "zeros": [b"\0" * 1000],
    "random": [random.Random(0).randbytes(size) for size in (1, 2, 10, 1000, 100_000)],
    "early set": [b"Srank/0/state\0x"],
    "early get": [b"Gkey\0", b"Gkey\0"],
    "early add": [b"Acounter\x001"],
    "no key's end": [b"J", b"S", b"G"],
    "no claim": [b"J\0"],
    "half a claim": [b"J\x001"],
    "no number": [b"J\0one 3"],
    "beyond": [b"J\x003 3"],
    "below": [b"J\0-1 3"],
    "too many digits": [b"J\x00" + b"9" * 50 + b" 3"],
    "other world": [b"J\x001 4"],
    "a huge claim": [b"J\0" + b"1" * (128 * 1024 - 2)],
    "a huge claim with a size": [b"J\0" + b"1" * (128 * 1024 - 4) + b" 3"],
    "twice the same": [b"J\x001 3", b"J\x001 3"],
    "two ranks at once": [b"J\x001 3", b"J\x002 3"],
    "a rank, then noise": [b"J\x001 3", b"\xff\xff"],
    "a rank, then a count on text": [b"J\x001 3", b"Skey\0text", b"Akey\x001"],
}


@pytest.fixture
def server(tmp_path):
    """Rank 0 of 3 in a process of its own: what kills it must not kill the tests."""
    place = tmp_path / "d"
    script = (
        "import sys; from ringsync import _native\n"
        f"store = _native.meet({str(place)!r}, 0, 3, {DEADLINE_S})\n"
        "store.set('served', b'yes')\n"
        f"store.get('bye', {DEADLINE_S})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    until(lambda: (place / "store").exists() or process.poll() is not None)
    yield place, process
    process.kill()
    process.wait()
    process.stderr.close()


def connected(place: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(DEADLINE_S)
    client.connect(str(place / "store"))
    return client


def send_all(client: socket.socket, packets: list[bytes]) -> None:
    try:
        for packet in packets:
            client.send(packet)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was thrown out, as it should be


def require_job_meets(place: Path, process: subprocess.Popen) -> None:
    stores = values_of(
        side_by_side(2, lambda index: _native.meet(str(place), index + 1, 3, DEADLINE_S))
    )
    assert [store.get("served", DEADLINE_S) for store in stores] == [b"yes"] * 2
    stores[0].set("bye", b"")
    assert process.wait(DEADLINE_S) == 0, process.stderr.read()


@pytest.mark.parametrize("packets", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_thrown_out_and_the_job_meets(server, packets):
    place, process = server
    with connected(place) as client:
        send_all(client, packets)
        client.shutdown(socket.SHUT_WR)
        # The server has read it all once it has hung up; replies to a claim come first.
        try:
            while client.recv(1 << 20):
                pass
        except ConnectionResetError:
            pass  # the server hung up before it had read all
    require_job_meets(place, process)


def test_a_count_by_what_is_no_number_is_refused_and_makes_no_key(server):
    place, process = server
    with connected(place) as client:
        send_all(client, [b"J\x001 3", b"Akey\0one", b"Rkey\0"])
        assert client.recv(1000).startswith(b"-[rendezvous] ")
        assert client.recv(1000) == b"+0"
    require_job_meets(place, process)


def test_connections_that_never_say_anything_do_not_keep_the_job_from_meeting(server):
    place, process = server
    silent = [connected(place) for _ in range(50)]
    require_job_meets(place, process)
    for client in silent:
        client.close()


def test_a_stream_client_is_turned_away(server):
    place, process = server
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client,
        pytest.raises(OSError, match="wrong type"),
    ):
        client.connect(str(place / "store"))
    require_job_meets(place, process)


def test_a_silent_connection_cannot_join_after_the_meeting(tmp_path):
    place = tmp_path / "d"

    def work(rank):
        if rank == 2:
            until((place / "store").exists)
            return connected(place)
        if rank == 1:
            until(lambda: ready)
        return _native.meet(str(place), rank, 2, DEADLINE_S)

    def watched(rank):
        try:
            return work(rank)
        finally:
            ready.append(rank)

    ready: list[int] = []
    stores = values_of(side_by_side(3, watched))
    with stores.pop() as late:
        send_all(late, [b"J\x001 2"])
        assert b"two processes joined as rank 1" in late.recv(1 << 20)
    stores[0].set("key", b"good")
    assert stores[1].get("key", 5.0) == b"good"


# A process of two ranks: one is rank 0 with its server, the other a bare socket. `full` holds while
# the process may open no more descriptors.
AT_THE_LIMIT = """
import contextlib, resource, socket, threading
from ringsync import _native

place = BOARD / "d"
ranks = []
rank_0 = threading.Thread(target=lambda: ranks.append(_native.meet(str(place), 0, 2, 20.0)))
rank_0.start()
await_word("d/store")
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.settimeout(20.0)
client.connect(str(place / "store"))
client.send(b"J\\x001 2")
assert client.recv(1000) == b"+"
rank_0.join()

# The server closes its entrance after it has answered, which would leave room for a descriptor:
# within 40 ms of the last change there has been none, and a job that never comes to that is ended.
def descriptors():
    return set(os.listdir("/proc/self/fd"))

known, alike = descriptors(), 0
while (place / "store").exists() or alike < 20:
    time.sleep(0.002)
    alike, known = (alike + 1 if descriptors() == known else 0), descriptors()

@contextlib.contextmanager
def full():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
"""


def test_a_descriptor_for_which_the_store_has_no_room_is_refused_and_the_rank_stays(jobs):
    [ended] = jobs.run(
        1,
        AT_THE_LIMIT
        + """
with full():
    socket.send_fds(client, [b"Skey\\0value"], [0])
    print(client.recv(1000).decode())
client.send(b"Rkey\\0")
print(client.recv(1000).decode())
""",
    )
    assert ended.code == 0, ended.err
    refusal, removed = ended.said
    assert refusal.startswith("-[rendezvous] 'key' came without its descriptor")
    assert "Raise the limit of open files" in refusal
    assert removed == "+0"


def test_a_rank_that_has_no_room_for_a_descriptor_is_told_so_and_may_ask_again(jobs):
    [ended] = jobs.run(
        1,
        AT_THE_LIMIT
        + """
socket.send_fds(client, [b"Skey\\0value"], [0])
assert client.recv(1000) == b"+"
try:
    with full():
        ranks[0].get("key", 20.0)
except errors.RendezvousError as error:
    print(error)
print(ranks[0].get("key", 20.0).decode())
""",
    )
    assert ended.code == 0, ended.err
    refusal, value = ended.said
    assert refusal.startswith("[rendezvous] 'key' came without its descriptor")
    assert "Raise the limit of open files" in refusal
    assert value == "value"


def test_descriptors_that_come_with_garbage_are_closed(server):
    place, process = server
    descriptors = Path(f"/proc/{process.pid}/fd")

    def sent(count: int) -> None:
        with connected(place) as client:
            read, write = os.pipe()
            socket.send_fds(client, [b"noise"], [read] * count)
            os.close(read)
            os.close(write)
            assert client.recv(10) == b""

    def is_joined() -> bool:
        # Its listener, and both ends of the connection that rank 0 has to itself.
        sockets = [one for one in descriptors.iterdir() if "socket" in str(one.readlink())]
        return len(sockets) >= 3

    until(is_joined)
    sent(1)
    before = len(list(descriptors.iterdir()))
    for count in (1, 2, 3, 10):
        sent(count)
    until(lambda: len(list(descriptors.iterdir())) <= before)
    require_job_meets(place, process)
