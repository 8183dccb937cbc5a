"""send and recv as a script calls them: between processes, and what the door refuses."""

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError

FORMS = {
    "send": (rs.send, "to"),
    "send_async": (rs.send_async, "to"),
    "recv": (rs.recv, "source"),
    "recv_async": (rs.recv_async, "source"),
}
every = pytest.mark.parametrize("place", FORMS)


@every
@pytest.mark.parametrize("peer", [0, 1, -1, None, "1", 0.5], ids=repr)
def test_whoever_is_no_other_rank_is_named_with_the_place(place, peer):
    form, what = FORMS[place]
    with pytest.raises(ConfigError, match=rf"^\[{place}\] {what}={peer!r} on rank 0; another rank"):
        form(np.ones(3), peer)


SCRIPT = """
    rs.init()
    rank, n = rs.rank(), rs.size()
    x = np.arange(12, dtype=np.float32).reshape(3, 4) * (rank + 1)
    if rank == 0:
        assert rs.send(x.T, 1) is None
        strided, read_only = x[:, ::2], np.zeros(3)
        read_only.flags.writeable = False
        for bad in (strided, read_only, np.zeros(3, np.complex64)):
            try:
                rs.recv(bad, 1)
            except errors.ConfigError as error:
                print(error)
    if rank == 1:
        got = np.empty((4, 3), np.float32)
        assert rs.recv(got, source=0) is got
        assert (got == np.arange(12).reshape(3, 4).T).all()
    large = np.full(5_000_000, rank)
    arrived = np.empty_like(large)
    sending = rs.send_async(large, (rank + 1) % n, name="large")
    receiving = rs.recv_async(arrived, (rank - 1) % n, name="large")
    assert receiving.result() is arrived
    assert sending.result() is large
    assert (arrived == (rank - 1) % n).all()
    shared = rs.empty(1000)
    shared[:] = rank
    if rank == 0:
        rs.send(shared, 1)
    if rank == 1:
        assert rs.recv(shared, 0)[-1] == 0
    if rank < 2:
        given, taken = np.full(5, rank), np.empty(5, int)
        handles = [rs.send_async(given, 1 - rank), rs.recv_async(taken, 1 - rank)]
        for handle in handles:
            handle.wait()
        assert (taken == 1 - rank).all()
    rs.barrier()
    assert rs.allreduce(np.ones(2), op=rs.Sum)[0] == n
"""


def test_processes_send_in_a_circle_and_by_twos(jobs):
    ended = jobs.run(3, SCRIPT)
    assert [one.code for one in ended] == [0, 0, 0], [one.err for one in ended]
    strided, read_only, foreign = ended[0].said
    assert strided.startswith("[recv] ")
    assert strided.endswith("a C-contiguous one is expected. Pass one.")
    assert read_only.endswith("Pass a writable NumPy array.")
    assert "complex64 is not supported" in foreign
