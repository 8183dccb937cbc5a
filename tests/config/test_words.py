"""What messages show of a value is one line, and short, whatever the value is."""

import numpy as np
import pytest

import ringsync as rs
from ringsync import optim
from ringsync.autograd import Parameter
from ringsync.errors import ConfigError
from ringsync.words import error_in_line, in_line

# One is written in several lines, the other in one that nobody reads to its end.
WIDE = np.arange(900.0).reshape(30, 30)
LONG = list(range(100_000))


class Wrapped:
    def __repr__(self):
        return "one,\r\n  two"


class Broken(Exception):  # noqa: N818 - what it is called is in the message
    def __repr__(self):
        raise RuntimeError("no words")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a  b\n", r"'a  b\n'"),
        (np.array([[1], [2]]), "array([[1], [2]])"),
        (Wrapped(), "one, two"),
        ("x" * 198, "'" + "x" * 198 + "'"),
        ("x" * 199, "'" + "x" * 196 + "..."),
        # Python writes none of more than 4300 digits.
        pytest.param(10**5000, "an int", id="10**5000"),
        pytest.param(Broken(), "a Broken", id="Broken"),
    ],
)
def test_a_value_is_its_repr_in_one_line_of_200_characters(value, text):
    assert in_line(value) == text


def test_an_exception_is_its_kind_and_its_message_in_one_line():
    assert error_in_line(ValueError("a  b.")) == "ValueError: a  b"
    assert error_in_line(ValueError("a\n b\n")) == "ValueError: a b"
    assert error_in_line(Broken()) == "Broken"


def wrap(**options):
    return rs.DistributedOptimizer(optim.SGD([Parameter(np.ones(2))], lr=0.1), **options)


@pytest.mark.parametrize(
    "call",
    [
        rs.new_group,
        lambda x: rs.new_group([x]),
        lambda x: rs.allreduce(np.ones(2), group=x),
        lambda x: rs.allreduce(np.ones(2), timeout_s=x),
        lambda x: rs.allreduce(np.ones(2), name=x),
        lambda x: rs.broadcast(np.ones(2), root=x),
        lambda x: rs.alltoall(np.ones(2), x),
        lambda x: rs.allreduce_async(np.ones(2)).wait(x),
        rs.empty,
        rs.start_timeline,
        lambda x: wrap(op=x),
        lambda x: wrap(weighted=x),
        lambda x: wrap(codec=x),
        lambda x: wrap(accumulate_steps=x),
        lambda x: wrap(bucket_mib=x),
        lambda x: wrap(sync=x),
        lambda x: wrap().step(weight=x),
        lambda x: optim.SGD([Parameter(np.ones(2))], lr=x),
        lambda x: rs.run(print, np=x),
        lambda x: rs.run(x, np=1),
        lambda x: rs.run(print, args="x" * len(x) * 1000, np=1),
        lambda x: rs.run(print, kwargs=x, np=1),
        lambda x: rs.run(print, np=1, timeout_s=x),
        lambda x: rs.run(print, np=1, log_dir=x),
        lambda x: rs.run(print, np=1, verbose=x),
    ],
)
@pytest.mark.parametrize("value", [WIDE, LONG], ids=["wide", "long"])
def test_a_refusal_is_one_line_whatever_is_refused(call, value):
    rs.init()
    try:
        with pytest.raises(ConfigError) as refused:
            call(value)
    finally:
        rs.shutdown()
    text = str(refused.value)
    assert text.splitlines() == [text]
    assert len(text) < 700
