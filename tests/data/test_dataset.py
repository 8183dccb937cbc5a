"""Sets, shards and batches: who sees which sample when."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ringsync.data import Dataset, synthetic
from ringsync.errors import ConfigError, MismatchError


def numbered(count):
    return Dataset(np.arange(count, dtype=np.float32)[:, None], np.arange(count))


def labels_of(batches):
    return [y.tolist() for _, y in batches]


def joined(parts):
    return list(chain.from_iterable(parts))


@given(
    count=st.integers(0, 60),
    size=st.integers(1, 5),
    more=st.integers(0, 12),
    seed=st.none() | st.integers(0, 5),
)
def test_the_parts_of_a_batch_are_the_batch_whatever_the_number_of_shards(count, size, more, seed):
    batch = size + more
    assume(batch <= count)
    whole = numbered(count)
    expected = labels_of(whole.batches(batch, shuffle=seed))
    shards = [labels_of(whole.shard(i, size).batches(batch, shuffle=seed)) for i in range(size)]
    assert [joined(parts) for parts in zip(*shards, strict=True)] == expected
    for parts, one in zip(zip(*shards, strict=True), expected, strict=True):
        sizes = [len(part) for part in np.array_split(np.arange(len(one)), size)]
        assert [len(part) for part in parts] == sizes


@given(count=st.integers(1, 60), batch=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_epoch_sees_every_sample_once_but_for_a_last_uneven_batch(count, batch, seed):
    assume(batch <= count)
    seen = joined(labels_of(numbered(count).batches(batch, shuffle=seed)))
    assert len(seen) == len(set(seen)) == count - count % batch
    kept = labels_of(numbered(count).batches(batch, shuffle=seed, drop_last=False))
    assert sorted(joined(kept)) == list(range(count))


def test_without_shuffling_order_and_last_batch_are_kept():
    assert labels_of(numbered(5).batches(2)) == [[0, 1], [2, 3], [4]]
    assert labels_of(numbered(5).batches(2, drop_last=True)) == [[0, 1], [2, 3]]


def test_samples_keep_their_labels_when_shuffled():
    for x, y in numbered(20).batches(6, shuffle=3):
        np.testing.assert_array_equal(x[:, 0], y)


def test_equal_seeds_give_equal_orders_and_other_seeds_do_not():
    orders = [labels_of(numbered(50).batches(10, shuffle=seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@given(count=st.integers(0, 30), size=st.integers(1, 6))
def test_the_arrays_of_all_shards_are_the_set(count, size):
    shards = [numbered(count).shard(i, size) for i in range(size)]
    labels = np.concatenate([one.arrays()[1] for one in shards])
    assert labels.tolist() == list(range(count))
    assert [len(one) for one in shards] == [len(one.arrays()[0]) for one in shards]


def test_split_gives_the_first_and_the_rest():
    first, rest = numbered(5).split(2)
    assert first.arrays()[1].tolist() == [0, 1]
    assert rest.arrays()[1].tolist() == [2, 3, 4]


def test_shuffled_keeps_samples_with_their_labels():
    x, y = numbered(30).shuffled(4).arrays()
    np.testing.assert_array_equal(x[:, 0], y)
    assert sorted(y.tolist()) == list(range(30)) != y.tolist()


def test_map_changes_samples_and_keeps_labels_and_shards():
    ds = numbered(4).shard(1, 2).map(lambda x: x * 10)
    x, y = ds.arrays()
    assert x[:, 0].tolist() == [20, 30]
    assert y.tolist() == [2, 3]


def test_a_set_cannot_be_written_and_the_original_still_can():
    x = np.zeros((3, 2))
    ds = Dataset(x, np.zeros(3, int))
    with pytest.raises(ValueError, match="read-only"):
        ds.arrays()[0][0] = 1
    x[0] = 1
    assert ds.arrays()[0][0, 0] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ds: ds.shard(0, 4).batches(3), r"a global batch of 3 cannot feed 4 shards"),
        (lambda ds: ds.batches(0), r"a global batch of 0 cannot feed 1 shards"),
        (lambda ds: ds.shard(2, 2), r"shard 2 of 2; expected 0 <= rank < size"),
        (lambda ds: ds.shard(0, 2).shard(0, 2), r"shard of shard 0 of 2; .*before shard"),
        (lambda ds: ds.shard(0, 2).split(1), r"split of shard 0 of 2; .*before shard"),
        (lambda ds: ds.shard(0, 2).shuffled(1), r"shuffled of shard 0 of 2"),
        (lambda ds: ds.split(11), r"split at 11 of 10 samples"),
    ],
)
def test_what_cannot_be_cut_is_refused_at_once(call, message):
    with pytest.raises(ConfigError, match=rf"^\[dataset\] {message}"):
        call(numbered(10))


def test_samples_without_labels_are_refused():
    with pytest.raises(MismatchError, match=r"^\[dataset\] x has shape \(3, 2\), y \(2,\)"):
        Dataset(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(MismatchError, match=r"^\[dataset\]"):
        numbered(3).map(lambda x: x[:2])


def test_repr_shows_sizes_and_shard():
    assert repr(numbered(3).shard(1, 2)) == "Dataset(x=float32(3, 1), y=int64(3,), shard 1 of 2)"


def test_synthetic_sets_have_the_shape_asked_for_and_depend_on_the_seed_only():
    x, y = synthetic(classes=3, count=10, shape=(2, 4), seed=5).arrays()
    assert (x.shape, x.dtype, y.dtype) == ((10, 2, 4), np.float32, np.int64)
    assert np.bincount(y).tolist() == [4, 3, 3]
    np.testing.assert_array_equal(x, synthetic(3, 10, (2, 4), 5).arrays()[0])
    assert not np.array_equal(x, synthetic(3, 10, (2, 4), 6).arrays()[0])
    with pytest.raises(ConfigError, match=r"^\[data\] classes=0"):
        synthetic(0, 10, (2,), 0)


def test_a_batch_that_no_epoch_could_fill_says_so():
    with pytest.raises(ConfigError, match="batch of 6 from 5 samples leaves no full batch"):
        numbered(5).batches(6, shuffle=0)
    assert labels_of(numbered(5).batches(6)) == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("shuffle", [True, False, "x", 1.5, -1])
def test_what_is_no_whole_number_is_no_seed(shuffle):
    with pytest.raises(ConfigError, match="seed"):
        numbered(5).batches(2, shuffle=shuffle)


@pytest.mark.parametrize("batch", [2.5, "2", None, True])
def test_what_is_no_whole_number_is_no_batch(batch):
    with pytest.raises(ConfigError, match="a whole number of samples is expected"):
        numbered(5).batches(batch)
