"""Python objects of a script between ranks."""

import sys
import threading

import cloudpickle

import ringsync.torch as hvd

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_objects_of_a_script_travel_both_ways(ranks):
    def work():
        class Local:  # unknown to the standard pickle
            def __init__(self, value):
                self.value = value

        hvd.init()
        mine = Local(hvd.rank()) if hvd.rank() == 1 else None
        given = hvd.broadcast_object(mine, root_rank=1, name="thing")
        assert (given is mine) == (hvd.rank() == 1)
        # Neither default name nor type has to agree between ranks.
        word = hvd.broadcast_object("x" if hvd.rank() == 0 else 0)
        gathered = hvd.allgather_object(lambda: hvd.rank() * 10)
        return given.value, word, [one() for one in gathered]

    first, second = ranks(2, work)
    assert first == (1, "x", [0, 0])  # each lambda runs where it is called
    assert second == (1, "x", [10, 10])


def test_what_cannot_be_pickled_is_told_on_every_rank(ranks):
    def work():
        hvd.init()
        told = []
        bad = threading.Lock() if hvd.rank() == 0 else 1
        for call in (hvd.broadcast_object, hvd.allgather_object):
            try:
                call(bad)
            except ValueError as error:
                told.append(str(error))
        return told, hvd.allgather_object(hvd.rank())

    for told, after in ranks(2, work):
        assert len(told) == 2
        assert all("rank 0 cannot be pickled" in text for text in told)
        assert after == [0, 1]


def test_objects_keep_to_their_process_set(ranks):
    def work():
        hvd.init()
        pair = hvd.add_process_set([0, 2])
        if hvd.rank() == 1:
            try:
                hvd.broadcast_object(0, root_rank=0, process_set=pair)
            except ValueError as error:
                return str(error)
        given = hvd.broadcast_object(hvd.rank(), root_rank=2, process_set=pair)
        return given, hvd.allgather_object(hvd.rank(), process_set=pair)

    first, outsider, third = ranks(3, work)
    assert first == third == (2, [0, 2])
    assert "Rank 1 is not a member of the provided process set." in outsider
