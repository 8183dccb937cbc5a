"""Losses and metrics: values, totals that may be added, refusals."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync import nn
from ringsync.autograd import Tensor
from ringsync.errors import MismatchError


def drawn(count, classes=4, seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, classes)), generator.integers(0, classes, count)


def test_cross_entropy_is_the_mean_of_minus_the_log_of_the_right_probability():
    logits, labels = drawn(5)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(5), labels]).mean()
    assert float(nn.cross_entropy(logits, labels)) == pytest.approx(expected)


def test_labels_may_be_a_list():
    assert float(nn.cross_entropy(np.zeros((2, 2)), [0, 1])) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 4, 1], r"labels go from 0 to 4; expected 0 to 3"),
        ([0, -1, 1], r"labels go from -1 to 1; expected 0 to 3"),
        ([0, 1], r"shape \(3, 4\), labels \(2,\)"),
        (np.eye(4)[:3], r"labels \(3, 4\);.*argmax"),
        ([0.0, 1.0, 2.0], r"labels are float64; expected integers"),
    ],
)
@pytest.mark.parametrize("place", ["cross_entropy", "accuracy"])
def test_labels_that_are_no_classes_are_refused(place, labels, message):
    call = nn.cross_entropy if place == "cross_entropy" else nn.Accuracy().update
    with pytest.raises(MismatchError, match=rf"^\[{place}\] .*{message}"):
        call(np.zeros((3, 4)), labels)


def test_no_samples_have_no_mean_loss():
    with pytest.raises(MismatchError, match=r"^\[cross_entropy\] 0 samples have no mean"):
        nn.cross_entropy(np.zeros((0, 4)), np.zeros(0, int))


@given(cuts=st.lists(st.integers(0, 20), max_size=4))
def test_totals_of_any_parts_add_up_to_the_whole(cuts):
    logits, labels = drawn(20)
    edges = [0, *sorted(cuts), 20]
    totals = {nn.Accuracy: np.zeros(2), nn.MeanLoss: np.zeros(2)}
    for first, last in pairwise(edges):
        part, classes = logits[first:last], labels[first:last]
        loss = nn.cross_entropy(part, classes) if last > first else Tensor(float("nan"))
        for kind, output in ((nn.Accuracy, part), (nn.MeanLoss, loss)):
            metric = kind()
            metric.update(output, classes)
            totals[kind] += metric.totals()
    assert nn.Accuracy.value_of(totals[nn.Accuracy]) == (logits.argmax(axis=1) == labels).mean()
    whole = float(nn.cross_entropy(logits, labels))
    assert nn.MeanLoss.value_of(totals[nn.MeanLoss]) == pytest.approx(whole)


@pytest.mark.parametrize("kind", [nn.Accuracy, nn.MeanLoss])
def test_a_metric_without_samples_is_nan_and_reset_returns_there(kind):
    metric = kind()
    assert np.isnan(metric.value())
    metric.update(np.array([[0.0, 1.0]]) if kind is nn.Accuracy else 0.5, [1])
    assert metric.totals().dtype == np.float64
    assert metric.totals()[1] == 1
    metric.reset()
    assert np.isnan(metric.value())


def test_totals_are_a_copy():
    metric = nn.MeanLoss()
    metric.totals()[:] = 5
    assert metric.totals().tolist() == [0, 0]


def test_a_loss_that_is_no_scalar_is_refused():
    with pytest.raises(MismatchError, match=r"^\[mean_loss\] the loss has shape \(2,\)"):
        nn.MeanLoss().update(np.ones(2), [0, 1])
