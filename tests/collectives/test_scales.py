"""prescale and postscale at the door: every allreduce takes them, and only numbers."""

import math

import numpy as np
import pytest

import ringsync as rs
from ringsync.errors import ConfigError

SINGLE = {
    form.__name__: form
    for form in (rs.allreduce, rs.allreduce_, rs.allreduce_async, rs.allreduce_async_)
}
GROUPED = {
    form.__name__: form
    for form in (
        rs.grouped_allreduce, rs.grouped_allreduce_, rs.grouped_allreduce_async,
        rs.grouped_allreduce_async_,
    )
}  # fmt: skip


def result_of(outcome):
    return outcome.result() if hasattr(outcome, "result") else outcome


@pytest.mark.parametrize("place", SINGLE)
@pytest.mark.parametrize("half", [0.5, np.float32(0.5), np.float64(0.5)], ids=repr)
def test_every_allreduce_takes_both_scales(place, half):
    found = result_of(SINGLE[place](np.full(3, 5.0), prescale=half, postscale=4))
    np.testing.assert_array_equal(found, np.full(3, 10.0))


@pytest.mark.parametrize("place", GROUPED)
def test_every_grouped_allreduce_takes_both_scales(place):
    xs = [np.full(3, 5.0), np.full(2, 5, np.int32)]
    floats, integers = result_of(GROUPED[place](xs, prescale=0.25, postscale=2))
    assert floats.tolist() == [2.5] * 3
    assert integers.tolist() == [2] * 2


@pytest.mark.parametrize(
    "scale", ["2", None, 1j, [1.0], math.inf, math.nan, 10**400], ids=lambda scale: str(scale)[:5]
)
@pytest.mark.parametrize("which", ["prescale", "postscale"])
@pytest.mark.parametrize("place", SINGLE)
def test_a_scale_that_is_no_finite_number_is_refused(place, which, scale):
    with pytest.raises(ConfigError, match=rf"^\[{place}\] {which}=.*; a finite number is expected"):
        SINGLE[place](np.ones(3), **{which: scale})
