"""A test of processes that hangs shows where each of its ranks is."""

import pytest

from . import job as job_module

# Two ranks of which one hangs with all its threads, and one has ended.
HANG = """
import threading
lock, is_told = threading.Lock(), threading.Event()
def hang_in_a_thread():
    with lock:
        tell("locked")
        is_told.set()  # whoever takes the interpreter before that leaves half of it untold
        lock.acquire()
def hang_in_the_main_thread():
    is_told.wait()
    {work}
if RANK == 1:
    threading.Thread(target=hang_in_a_thread, daemon=True).start()
    hang_in_the_main_thread()
"""
WORKS = pytest.mark.parametrize(
    "work",
    # The second one holds the interpreter for minutes.
    ["lock.acquire()", "sum(range(10**10))"],
    ids=["asleep", "in C"],
)
STACKS = ("in hang_in_a_thread", "in hang_in_the_main_thread")
# Long enough for a rank to come to nothing more than its hang, which it has told before.
SHORT_S = 0.2


@WORKS
def test_a_rank_that_hangs_at_the_deadline_shows_the_stacks_of_all_its_threads(jobs, work):
    job = jobs.start(2, HANG.format(work=work))
    job.word("locked")
    job.started[0].wait(job_module.DEADLINE_S)
    other, hung = job.end(SHORT_S)
    assert (other.code, other.err) == (0, "")
    assert hung.code is None
    assert all(hung.err.count(words) == 1 for words in STACKS), hung.err


@WORKS
def test_a_word_that_is_never_told_shows_them_too(jobs, monkeypatch, work):
    job = jobs.start(2, HANG.format(work=work))
    job.word("locked")
    monkeypatch.setattr(job_module, "DEADLINE_S", SHORT_S)
    with pytest.raises(AssertionError) as caught:
        job.word("never")
    assert all(words in str(caught.value) for words in STACKS), caught.value
