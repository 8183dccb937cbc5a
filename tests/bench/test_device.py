"""What is made of a device's measurements; they themselves need a GPU."""

import pytest

from bench.device.collectives import overhead
from bench.device.overlap import efficiency


@pytest.mark.parametrize(
    ("both_s", "hidden"), [(10.0, 1.0), (12.0, 0.5), (14.0, 0.0), (16.0, -0.5)]
)
def test_what_a_step_takes_beyond_its_backward_pass_is_not_hidden(both_s, hidden):
    assert efficiency(backward_s=10.0, exchange_s=4.0, both_s=both_s) == hidden


def test_wrapping_is_judged_by_the_middle_one_of_its_turns():
    medians = {"allreduce_-4": 9.0}
    for turn, (plain, wrapped) in enumerate([(1.0, 1.01), (2.0, 2.0), (1.0, 3.0)]):
        medians[f"plain step {turn}-0"] = plain
        medians[f"wrapped step {turn}-0"] = wrapped
    assert overhead(medians) == 1.01
