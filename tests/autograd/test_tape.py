"""The backward pass: what it adds, in which order, whom it tells, what it lets go."""

import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.autograd import PRIMITIVES, Parameter, Tensor, apply, exp, no_grad, primitive, tanh
from ringsync.errors import MismatchError


class Recorder:
    """An observer that writes down what it hears."""

    def __init__(self):
        self.heard = []
        self.on_final = lambda _tensor: None

    def backward_began(self):
        self.heard.append("began")

    def gradient_final(self, tensor):
        self.heard.append((tensor.name, tensor.grad.copy()))
        self.on_final(tensor)

    def backward_ended(self):
        self.heard.append("ended")

    def names(self):
        return [one if isinstance(one, str) else one[0] for one in self.heard]


def watched(recorder, **values):
    parameters = [Parameter(np.asarray(value, np.float32), name) for name, value in values.items()]
    for one in parameters:
        one.observer = recorder
    return parameters


def test_a_diamond_adds_both_paths():
    x = Tensor(3.0, requires_grad=True)
    y = x * x
    (y * y + y).backward()
    assert x.grad == 4 * 27 + 6


def test_a_shared_parameter_is_final_once_with_all_its_uses():
    recorder = Recorder()
    (w,) = watched(recorder, w=2.0)
    (w * w * w).backward()
    assert recorder.names() == ["began", "w", "ended"]
    assert recorder.heard[1][1] == 12


@given(uses=st.lists(st.integers(0, 2), min_size=1, max_size=8))
def test_every_leaf_that_is_reached_is_final_exactly_once(uses):
    recorder = Recorder()
    leaves = watched(recorder, a=1.0, b=2.0, c=3.0)
    total = Tensor(1.0)
    for one in uses:
        total = total * leaves[one] + leaves[one]
    total.backward()
    expected = {"abc"[one] for one in uses}
    assert sorted(recorder.names()[1:-1]) == sorted(expected)
    for name, grad in recorder.heard[1:-1]:
        assert grad == leaves["abc".index(name)].grad


def test_parameters_become_final_in_the_reverse_order_of_their_use():
    recorder = Recorder()
    w1, b1, w2, b2 = watched(
        recorder, w1=np.ones((3, 2)), b1=np.ones(3), w2=np.ones((1, 3)), b2=[0]
    )
    linear = PRIMITIVES["linear"]
    apply(linear, apply(linear, np.ones((4, 2)), w1, b1), w2, b2).sum().backward()
    assert recorder.names() == ["began", "b2", "w2", "b1", "w1", "ended"]


def test_a_branch_that_ran_first_is_passed_last():
    recorder = Recorder()
    early, late = watched(recorder, early=1.0, late=1.0)
    short = early * 2.0
    long = tanh(tanh(late * 3.0))
    (short + long).backward()
    assert recorder.names() == ["began", "late", "early", "ended"]


def test_a_gradient_is_final_in_the_midst_of_the_pass():
    recorder = Recorder()
    first, last = watched(recorder, first=2.0, last=3.0)
    seen = []
    recorder.on_final = lambda tensor: seen.append((tensor.name, first.grad is None))
    (exp(first * 1.0) * last).backward()
    assert seen == [("last", True), ("first", False)]


def test_began_comes_before_any_gradient_and_once_per_observer():
    one, two = Recorder(), Recorder()
    a, b = watched(one, a=1.0, b=1.0)
    (c,) = watched(two, c=1.0)
    one.backward_began = lambda: one.heard.append([a.grad, b.grad, c.grad])
    (a * b * c).backward()
    assert one.heard[0] == [None, None, None]
    assert two.names() == ["began", "c", "ended"]


def test_an_observer_of_leaves_that_are_not_reached_hears_nothing():
    recorder = Recorder()
    watched(recorder, idle=1.0)
    Tensor(1.0, requires_grad=True).backward()
    assert recorder.heard == []


def test_a_leaf_that_is_its_own_loss_tells_its_observer():
    recorder = Recorder()
    (w,) = watched(recorder, w=5.0)
    w.backward()
    assert recorder.names() == ["began", "w", "ended"]
    assert w.grad == 1


def test_a_failed_pass_does_not_say_that_it_ended():
    recorder = Recorder()
    (w,) = watched(recorder, w=1.0)

    def fail(_gradient, _out, _x):
        raise ArithmeticError("no gradient today")

    with pytest.raises(ArithmeticError):
        apply(primitive(fail)(lambda x: x + 1), w * 1.0).backward()
    assert recorder.names() == ["began"]


def test_the_first_gradient_goes_into_the_buffer_and_later_ones_are_added_there():
    w = Parameter(np.ones(2, np.float32))
    w.grad_buffer = buffer = np.full(2, 99, np.float32)
    (w * 3.0).sum().backward()
    assert w.grad is buffer
    assert buffer.tolist() == [3, 3]
    (w * 4.0).sum().backward()
    assert w.grad is buffer
    assert buffer.tolist() == [7, 7]
    w.grad = None
    (w * 5.0).sum().backward()
    assert w.grad is buffer
    assert buffer.tolist() == [5, 5]


def test_gradients_of_two_passes_add_up_in_place():
    w = Parameter(np.ones(3, np.float32))
    (w * 2.0).sum().backward()
    kept = w.grad
    (w * 5.0).sum().backward()
    assert w.grad is kept
    assert kept.tolist() == [7, 7, 7]


def test_no_gradient_shares_memory_with_anything_else():
    x, y = Tensor(np.ones((2, 3)), True), Tensor(np.ones((2, 3)), True)
    given_gradient = np.ones((2, 3))
    (x + y).backward(given_gradient)
    assert not np.shares_memory(x.grad, y.grad)
    assert not np.shares_memory(x.grad, given_gradient)
    z = Tensor(np.ones((2, 3)), True)
    z.transpose().reshape(6).sum().backward()
    assert z.grad.flags.writeable
    assert z.grad.flags.c_contiguous


def test_an_array_that_a_rule_returns_twice_is_not_kept_as_a_gradient():
    constant = np.ones(2)
    x = Tensor(constant, True)
    apply(primitive(lambda _g, _out, x: x)(lambda x: x * 1), x).backward(np.ones(2))
    assert not np.shares_memory(x.grad, constant)


def test_a_second_backward_is_refused_before_anyone_hears_of_it():
    recorder = Recorder()
    (w,) = watched(recorder, w=2.0)
    shared = w * w
    (shared * 2.0).backward()
    recorder.heard.clear()
    with pytest.raises(MismatchError, match=r"^\[backward\] .* 'mul' was used by an earlier .*"):
        (shared * 3.0).backward()
    assert recorder.heard == []
    assert w.grad == 8


def test_memory_is_freed_as_the_pass_goes():
    recorder = Recorder()
    (w,) = watched(recorder, w=np.ones(4))
    late = exp(w * 2.0) * 3.0
    array = weakref.ref(late.data)
    loss = (late * late).sum()
    del late
    assert array() is not None
    alive = []
    recorder.on_final = lambda _tensor: alive.append(array() is not None)
    loss.backward()
    assert alive == [False]


def test_without_recording_nothing_is_kept():
    w = Parameter(np.ones(2, np.float32))
    with no_grad():
        y = w * 2.0
    assert y.node is None
    assert not y.requires_grad
    assert (w * 2.0).requires_grad


def test_no_grad_holds_for_its_own_thread_only():
    w = Parameter(np.ones(2, np.float32))
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((w * 2.0).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_graph_built_in_two_threads_is_passed_in_order():
    w = Parameter(np.full(1, 2.0, np.float32))
    for _ in range(50):
        w * w
    parts = []
    thread = threading.Thread(target=lambda: parts.append(exp(w * 0.0) * w))
    thread.start()
    thread.join()
    (parts[0] * parts[0]).sum().backward()
    assert w.grad.tolist() == [4]


def test_a_chain_of_many_thousand_operations_is_no_problem():
    w = Tensor(1.0, requires_grad=True)
    y = w
    for _ in range(20_000):
        y = y + 0.0
    y.backward()
    assert w.grad == 1
    del y


def test_a_gradient_of_the_wrong_shape_names_both_shapes():
    wrong = primitive(lambda g, _out, _x: g[:1])(lambda x: x * 1)
    with pytest.raises(MismatchError, match=r"shape \(1,\) reached a tensor of shape \(3,\)"):
        apply(wrong, Tensor(np.ones(3), True)).backward(np.ones(3))
