"""The examples do what they say, with and without the launcher."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCS = EXAMPLES.parent / "docs"
RUNNING = DOCS / "running.md"
DEADLINE_S = 100.0


def run(*arguments, size=0):
    launcher = ["-m", "ringsync.launch", "-np", str(size)] if size else []
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_cnn_learns_the_real_digits_on_two_ranks():
    lines = run(EXAMPLES / "train_cnn.py", size=2).splitlines()
    last = re.search(
        r"epoch \d+: loss ([\d.]+), test accuracy ([\d.]+)%, [\d,]+ samples/s, overlap \d+%",
        lines[-1],
    )
    assert last, lines
    assert float(last[2]) >= 95.0


def test_the_same_script_runs_without_the_launcher(tmp_path):
    saved = tmp_path / "net.npz"
    output = run(EXAMPLES / "train_cnn.py", "--epochs", 1, "--save", saved)
    assert "epoch 1: loss" in output
    assert sum(array.size for array in np.load(saved).values()) > 100_000


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_the_cnn_on_a_gpu_without_cupy_is_told_what_to_install():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "train_cnn.py", "--device", "cuda"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert "'cuda' needs CuPy, which cannot be loaded" in last
    assert "pip install cupy" in last


def test_the_full_size_cnn_trains_on_images_of_28_by_28(tmp_path):
    random = np.random.default_rng(0)
    images = random.random((200, 1, 28, 28), np.float32)
    np.savez(tmp_path / "images.npz", x=images, y=random.integers(0, 10, 200))
    output = run(
        EXAMPLES / "train_cnn.py", "--epochs", 1, "--data", tmp_path / "images.npz", size=2
    )
    assert "epoch 1: loss" in output


def test_the_worked_example_of_five_ranks_gives_its_numbers():
    output = run(EXAMPLES / "five_nodes.py", size=5)
    for number in ("35.2", "50.688", "38.8"):
        assert number in output


def test_the_documented_example_of_uneven_work_ends_with_one_model_on_all_ranks(tmp_path):
    section = RUNNING.read_text().partition("## Uneven work\n")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    script = tmp_path / "uneven.py"
    script.write_text(code + "print(last, *(p.data.tobytes().hex() for p in net.parameters()))\n")
    lines = [line.split() for line in run(script, size=2).splitlines()]
    assert sorted(line[:2] for line in lines) == [["[0]", "1"], ["[1]", "1"]]
    assert lines[0][2:] == lines[1][2:]


def test_the_torch_network_learns_the_digits_and_two_runs_alike_give_the_same_numbers():
    def reports(*options):
        output = run(EXAMPLES / "torch_cnn.py", *options, size=2)
        assert not re.search(r"^\[1\]", output, re.MULTILINE)
        return re.findall(r"loss ([\d.]+), test accuracy ([\d.]+)%", output)

    first = reports()
    assert len(first) == 8
    assert float(first[-1][1]) >= 95.0
    assert reports("--epochs", 2) == first[:2]


def test_the_torch_script_without_what_is_marked_is_the_one_that_was_there(tmp_path):
    text = (EXAMPLES / "torch_existing_script.py").read_text()
    code = re.sub(r"# was: (.*)\n.*:\n.*\n|# was: (.*)\n.*\n", r"\1\2\n", text)
    code = re.sub(r".*  # \+.*\n", "", code).partition('"""\n')[2]
    assert not re.search(r"hvd|ringsync|sampler|# was", code, re.IGNORECASE)
    script = tmp_path / "before.py"
    script.write_text(code)
    accuracy = re.search(r"accuracy ([\d.]+)%", run(script))
    assert float(accuracy[1]) >= 85.0


@pytest.mark.parametrize("size", [0, 2])
def test_the_torch_script_with_four_steps_more_trains_alone_and_on_two_ranks(size):
    accuracy = re.search(
        r"accuracy ([\d.]+)%", run(EXAMPLES / "torch_existing_script.py", size=size)
    )
    assert float(accuracy[1]) >= 85.0


@pytest.mark.parametrize(
    ("page", "options"), [("from-horovod.md", ("--horovod",)), ("from-ddp.md", ())]
)
def test_the_documented_torch_scripts_run(page, options, tmp_path):
    section = (DOCS / page).read_text().partition("## A script\n")[2]
    script = tmp_path / "script.py"
    script.write_text(section.partition("```python\n")[2].partition("```")[0])
    assert re.fullmatch(r"\[0\] loss [\d.]+ on 2 ranks\n", run(*options, script, size=2))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_says_how_to_run_it(example):
    assert "ringsyncrun -np" in example.read_text()
