"""Arrays with no element at all, and with more than 32 bits can count."""

import ctypes
import mmap
import os

import numpy as np
import pytest

from ..ranks import TRANSPORTS, Op, world
from .test_values import MEMORY, placed

both = pytest.mark.parametrize("transport", TRANSPORTS)
DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
# Small beside what two ranks of 2 GiB would take, and few enough to map.
BLOCK_BYTES = 16 * 2**20
MAP_FIXED = 0x10  # on every Linux but Alpha; Python has no name for it


@both
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)], ids=str)
def test_every_collective_takes_arrays_without_elements(worlds, transport, memory, shape):
    def work(rank):
        for name in DTYPES:
            empty = np.empty(shape, name)
            rows = [len(part) for part in np.array_split(empty, 3)]

            def made(empty=empty):
                return placed(rank, empty.reshape(-1), memory).reshape(empty.shape)

            assert rank.allreduce(made(), op=Op.MAX).shape == shape
            assert rank.broadcast(made(), root=2).shape == shape
            assert rank.allgather(made()).shape == (3 * shape[0], *shape[1:])
            assert rank.reduce_scatter(made(), op=Op.MIN).shape == (rows[rank.rank], *shape[1:])
            assert rank.alltoall(made(), rows).shape == (3 * rows[rank.rank], *shape[1:])
            if rank.rank == 0:
                rank.send(made(), 2)
            elif rank.rank == 2:
                assert rank.recv(made(), 0).shape == shape
        rank.barrier()
        return float(rank.allreduce(np.ones(2))[1])

    assert worlds.of(3, transport).each(work) == [3.0] * 3


def test_more_elements_than_32_bits_count_with_a_sign_arrive_at_their_places():
    count = 2**31 + 9
    places = [0, 1, 2**31 - 1, 2**31, count - 1]

    def work(rank):
        array = nearly_all_one_block(count)
        if rank.rank == 0:
            array[places] = range(1, 6)
        rank.broadcast(array, root=0)
        around = [array[max(place - 1000, 0) : place + 1000] for place in places]
        return array[places].tolist(), [np.count_nonzero(values) for values in around]

    with world(2) as ranks:
        assert ranks.each(work) == [([1, 2, 3, 4, 5], [2, 2, 3, 3, 3])] * 2


def nearly_all_one_block(count):
    """Zeros that take little memory and time: all blocks but the outer ones are the same memory."""
    memory = mmap.mmap(-1, count)  # unmaps all of it at its end
    array = np.frombuffer(memory, np.int8)
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.memfd_create("block")
    os.truncate(file, BLOCK_BYTES)
    for offset in range(BLOCK_BYTES, 2**31 - BLOCK_BYTES, BLOCK_BYTES):
        address = ctypes.c_void_p(array.ctypes.data + offset)
        place = (ctypes.c_size_t(BLOCK_BYTES), mmap.PROT_READ | mmap.PROT_WRITE)
        how = mmap.MAP_SHARED | MAP_FIXED
        assert libc.mmap(address, *place, how, file, ctypes.c_long(0)) != -1
    os.close(file)
    return array


def test_a_sum_of_more_elements_than_32_bits_count_with_a_sign_is_made_in_place_over_shm():
    count = 2**31 + 9
    places = [0, 1, 2**31 - 1, 2**31, count - 1]

    def work(rank):
        array = nearly_all_one_block(count)
        array[places] = np.arange(1, 6) * (rank.rank + 1)
        assert rank.allreduce(array) is array
        around = [array[max(place - 1000, 0) : place + 1000] for place in places]
        return array[places].tolist(), [np.count_nonzero(values) for values in around]

    with world(2, "shm") as ranks:
        assert ranks.each(work) == [([3, 6, 9, 12, 15], [2, 2, 3, 3, 3])] * 2
