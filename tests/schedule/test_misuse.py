"""What the in-memory proof does with problems and inputs that make no sense: it says so.

Each runs in a process of its own, because the alternative to a clear error may be a crash.
"""

import subprocess
import sys

import numpy as np
import pytest

from ringsync import _native
from ringsync.errors import ConfigError, RingsyncError

from ..ranks import Collective

SCRIPT = """
import numpy as np
from ringsync import _native
from ringsync.errors import RingsyncError
try:
    result = {expression}
except (RingsyncError, ValueError, TypeError) as error:
    print("refused", error)
else:
    print("accepted", result)
"""


def outcome(expression: str) -> str:
    script = SCRIPT.format(expression=expression)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout or f"exit code {done.returncode}: {done.stderr}"


def test_an_unknown_algorithm_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'rnig' is unknown; one of direct, ring"):
        _native.applies("rnig", _native.Problem(Collective.ALLREDUCE, [1, 1]))


@pytest.mark.parametrize("segment_bytes", [0, 3])
def test_a_segment_below_one_element_is_an_error_and_no_endless_loop(segment_bytes):
    problem = _native.Problem(Collective.ALLREDUCE, [4, 4])
    inputs = [np.ones(4, np.float32)] * 2
    with pytest.raises(RingsyncError):
        _native.simulate("ring", problem, inputs, 1, segment_bytes, 0)


def test_an_unsupported_dtype_is_refused():
    problem = _native.Problem(Collective.ALLREDUCE, [4, 4])
    with pytest.raises(ConfigError, match="not supported"):
        _native.simulate("ring", problem, [np.ones(4, np.complex64)] * 2, 1, 64, 0)


@pytest.mark.parametrize(
    "inputs",
    [
        "[np.ones(4, np.float32)] * 2",
        "[np.ones(4, np.float32)] * 4",
        "[np.ones(4, np.float32), np.ones(3, np.float32), np.ones(4, np.float32)]",
        "[np.ones(4, np.float32), np.ones(4, np.float64), np.ones(4, np.float32)]",
    ],
    ids=["too few", "too many", "of another length", "of another dtype"],
)
def test_inputs_that_do_not_fit_the_problem_are_refused(inputs):
    assert outcome(
        f"_native.simulate('ring', _native.Problem(0, [4, 4, 4]), {inputs}, 1, 64, 0)"
    ).startswith("refused")


@pytest.mark.parametrize(
    "problem",
    [
        "_native.Problem(0, [])",
        "_native.Problem(2, [4, 4], root=2)",
        "_native.Problem(2, [4, 4], root=-1)",
        "_native.Problem(77, [4, 4])",
    ],
    ids=["no ranks", "root beyond", "root below", "no such collective"],
)
def test_a_problem_that_makes_no_sense_is_refused(problem):
    assert outcome(problem).startswith("refused")


def test_an_algorithm_is_not_run_on_a_problem_that_it_does_not_apply_to():
    assert outcome(
        "_native.simulate('ring', _native.Problem(2, [4, 4]), [np.ones(4)] * 2, 1, 64, 0)"
    ).startswith("refused")


def test_ranks_of_an_allreduce_with_uneven_counts_are_refused():
    assert outcome("_native.choose(_native.Problem(0, [4, 9]))").startswith("refused")
