"""`ringsync.run` from a notebook: functions of cells, output in the cell, errors by line."""

import json
import subprocess
import sys

import nbformat
import pytest

from .conftest import launcher_environment

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
nbformat.write(notebook, sys.argv[1])
"""
CELLS = [
    """
import numpy as np
import ringsync as rs

class OfTheCellError(Exception):
    pass

def scale(x):
    return factor * x
""",
    """
factor = 10

def total(x):
    rs.init()
    print("computing")
    return float(rs.allreduce(np.full(1, scale(x)), op=rs.Sum)[0])

rs.run(total, (3,), np=2)
""",
    "rs.run(lambda: factor)",
    """
def fail():
    rs.init()
    if rs.rank() == 1:
        raise OfTheCellError("the reason")  # on this line
    rs.barrier()

try:
    rs.run(fail, np=2)
except OfTheCellError as error:
    print("caught", error)
rs.run(fail, np=2)
""",
    """
import os, shutil, signal, tempfile, threading
board = tempfile.mkdtemp()

def wait():
    open(f"{board}/{os.getpid()}", "w").close()
    while True:
        signal.pause()

def interrupt():
    while len(os.listdir(board)) < 2:
        os.sched_yield()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    rs.run(wait)
except KeyboardInterrupt:
    print("interrupted")
print([os.path.exists(f"/proc/{pid}") for pid in os.listdir(board)])
shutil.rmtree(board)
""",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("notebook")
    path = directory / "book.ipynb"
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    # Nothing of it in the user's own directories.
    places = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    own = {place: str(directory / place) for place in places}
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(path)],
        env=launcher_environment("notebook") | own,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [cell["outputs"] for cell in json.loads(path.read_text())["cells"]]


def text_of(outputs, name):
    return "".join(
        "".join(one["text"])
        for one in outputs
        if one["output_type"] == "stream" and one["name"] == name
    )


def result_of(outputs):
    return ["".join(one["data"]["text/plain"]) for one in outputs if "data" in one]


def test_functions_and_names_of_cells_reach_the_ranks(outputs):
    assert result_of(outputs[1]) == ["[60.0, 60.0]"]
    assert result_of(outputs[2]) == ["[10, 10]"]


def test_what_ranks_print_stands_in_the_cell(outputs):
    assert sorted(text_of(outputs[1], "stdout").splitlines()) == [
        "[0] computing",
        "[1] computing",
    ]
    assert text_of(outputs[1], "stderr") == ""


def test_exceptions_of_cells_are_caught_as_what_they_are(outputs):
    assert text_of(outputs[3], "stdout") == "caught the reason\n"


def test_an_error_shows_the_line_of_the_cell_and_the_rank(outputs):
    (error,) = [one for one in outputs[3] if one["output_type"] == "error"]
    shown = "\n".join(error["traceback"])
    assert error["ename"] == "OfTheCellError"
    assert 'raise OfTheCellError("the reason")  # on this line' in shown
    assert "raised by rank 1 of 2" in shown


def test_interrupting_the_cell_ends_the_ranks(outputs):
    assert text_of(outputs[4], "stdout").splitlines() == ["interrupted", str([False, False])]


def test_no_cell_fails_otherwise(outputs):
    errors = [one["ename"] for cell in outputs for one in cell if one["output_type"] == "error"]
    assert errors == ["OfTheCellError"]
