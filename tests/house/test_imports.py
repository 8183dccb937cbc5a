"""ringsync/ keeps its floors and its doors; each rule first proves that it can see an offence."""

import subprocess
import sys

import pytest

from . import python_rules as rules
from .tree import PYTHON_SUFFIXES, ROOT, Sources, require_none, sources

LINT_IMPORTS = (
    "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())"
)


@pytest.fixture(scope="module")
def package() -> Sources:
    return sources("ringsync", suffixes=PYTHON_SUFFIXES)


def lint_imports(folder):
    return subprocess.run(
        [sys.executable, "-c", LINT_IMPORTS, "--no-cache", "--config", "setup.cfg"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_python_imports_go_down_the_floors_only():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_module_stands_on_a_floor(package):
    require_none(rules.unplaced_modules(package, sources("setup.cfg")["setup.cfg"]))


def test_no_module_imports_itself_through_others(package):
    require_none(rules.import_cycles(package))


def test_no_module_imports_the_root(package):
    require_none(rules.root_imports(package))


def test_nobody_imports_the_launcher(package):
    require_none(rules.launcher_imports(package))


def test_learning_and_communication_do_not_see_each_other(package):
    require_none(rules.imports_between_the_halves(package))


def test_native_kernels_torch_and_cupy_are_behind_their_doors():
    require_none(
        rules.imports_past_a_door(sources("ringsync", "bench", "examples", suffixes=(".py",)))
    )


def test_the_environment_is_read_in_two_places_only(package):
    require_none(rules.environment_reads(package))


def test_only_the_command_line_prints(package):
    require_none(rules.prints(package))


def test_no_test_sleeps():
    require_none(rules.sleeps(sources("tests", suffixes=(".py",))))


@pytest.mark.parametrize(
    ("path", "line", "is_allowed"),
    [
        ("nn/linear.py", "import house_sample.config", True),
        ("config.py", "from house_sample.nn import linear", False),
        ("nn/linear.py", "from house_sample.parallel import reducer", False),
    ],
)
def test_the_contracts_of_setup_cfg_see_an_import_that_climbs(tmp_path, path, line, is_allowed):
    # Another name than the package's own: an editable install would otherwise answer for it.
    contracts = sources("setup.cfg")["setup.cfg"].replace("ringsync", "house_sample")
    (tmp_path / "setup.cfg").write_text(contracts)
    # Every room that the contracts name, empty.
    for room in sources("ringsync", suffixes=(".py",)):
        file = tmp_path / "house_sample" / room.removeprefix("ringsync/")
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.touch()
    (tmp_path / "house_sample" / path).write_text(line + "\n")
    result = lint_imports(tmp_path)
    assert (result.returncode == 0) is is_allowed, result.stdout + result.stderr
    assert ("house_sample" in result.stdout) is not is_allowed


def test_a_module_on_no_floor_is_found():
    contracts = (
        "[importlinter:contract:a]\ntype = layers\nlayers =\n    (nn) | (data)\n    (config)\n"
    )
    files = {"ringsync/__init__.py": "", "ringsync/nn/linear.py": "", "ringsync/misc.py": ""}
    assert rules.unplaced_modules(files, contracts) == ["ringsync.misc: on no floor of setup.cfg"]


@pytest.mark.parametrize(
    "closing",
    [
        "from ringsync.nn.a import f",
        "from . import a",
        "from .a import f",
        "def late():\n    import ringsync.nn.a as a",
        "if TYPE_CHECKING:\n    from ringsync.nn import a",
    ],
)
def test_an_import_cycle_is_found(closing):
    files = {
        "ringsync/nn/__init__.py": "from ringsync.nn import a\n",
        "ringsync/nn/a.py": "from ringsync.nn.b import g\n",
        "ringsync/nn/b.py": closing,
    }
    assert rules.import_cycles(files) == ["ringsync.nn.a -> ringsync.nn.b -> ringsync.nn.a"]


def test_a_module_that_asks_its_own_package_for_a_name_is_a_cycle():
    files = {
        "ringsync/nn/__init__.py": "from ringsync.nn.a import f\n",
        "ringsync/nn/a.py": "from ringsync.nn import g\n",
    }
    assert rules.import_cycles(files) == ["ringsync.nn -> ringsync.nn.a -> ringsync.nn"]


@pytest.mark.parametrize(
    "line",
    [
        "import ringsync",
        "import ringsync as rs",
        "import ringsync.errors",
        "from ringsync import allreduce",
        "from .. import allreduce",
        "from ringsync import *",
        "importlib.import_module('ringsync')",
    ],
)
def test_an_import_of_the_root_is_found(line):
    files = {"ringsync/errors.py": "", "ringsync/nn/linear.py": line}
    assert len(rules.root_imports(files)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "from ringsync import errors",
        "from .. import errors",
        "from ringsync import _native",
        "import ringsync.errors as errors",
        "import ringsynclike",
    ],
)
def test_an_import_of_a_submodule_is_no_import_of_the_root(line):
    files = {"ringsync/errors.py": "", "ringsync/nn/linear.py": line}
    assert rules.root_imports(files) == []


@pytest.mark.parametrize("path", ["ringsync/__init__.py", "ringsync/jobs/running.py"])
def test_an_import_of_the_launcher_is_found(path):
    files = {path: "from ringsync.launch import guard", "ringsync/launch/guard.py": ""}
    assert len(rules.launcher_imports(files)) == 1
    files = {"ringsync/launch/cli.py": "from ringsync.launch import guard"}
    assert rules.launcher_imports(files) == []


def test_an_import_across_the_halves_is_found_in_both_directions():
    files = {
        "ringsync/runtime.py": "from ringsync.autograd import tape\n",
        "ringsync/autograd/tape.py": "",
        "ringsync/optim/sgd.py": "from ringsync import runtime\n",
        "ringsync/parallel/reducer.py": "from ringsync import optim, runtime\n",
    }
    assert rules.imports_between_the_halves(files) == [
        "ringsync/runtime.py:1: ringsync.runtime sees ringsync.autograd.tape",
        "ringsync/optim/sgd.py:1: ringsync.optim.sgd sees ringsync.runtime",
    ]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("ringsync/timeline.py", "from ringsync import _native"),
        ("ringsync/parallel/reducer.py", "from ringsync._native import Engine"),
        ("ringsync/nn/conv.py", "from ringsync import _kernels"),
        ("ringsync/arrays.py", "import torch"),
        ("ringsync/handle.py", "import cupy.cuda.nccl"),
        ("ringsync/launch/cli.py", "importlib.import_module('torch.cuda')"),
        ("bench/allreduce.py", "import ringsync._native as native"),
    ],
)
def test_an_import_past_a_door_is_found(path, line):
    assert len(rules.imports_past_a_door({path: line})) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("ringsync/runtime.py", "from ringsync import _native"),
        ("ringsync/autograd/ops/conv.py", "from ringsync import _kernels"),
        ("ringsync/torch/optimizer.py", "import torch"),
        ("ringsync/device_arrays.py", "import cupy"),
        ("ringsync/launch/cli.py", "from ringsync import torch"),
    ],
)
def test_a_keeper_opens_its_own_door(path, line):
    files = {path: line, "ringsync/torch/__init__.py": ""}
    assert rules.imports_past_a_door(files) == []


@pytest.mark.parametrize(
    "line",
    ["os.environ['A']", "os.getenv('A')", "from os import environ", "os.environ.get('A')"],
)
def test_a_look_at_the_environment_is_found(line):
    assert len(rules.environment_reads({"ringsync/runtime.py": line})) == 1
    assert rules.environment_reads({"ringsync/config.py": line}) == []


def test_a_print_is_found():
    assert rules.prints({"ringsync/runtime.py": "def f():\n    print(1)\n"}) == [
        "ringsync/runtime.py:2: print"
    ]
    assert rules.prints({"ringsync/launch/cli.py": "print(1)"}) == []


@pytest.mark.parametrize(
    # None of these sleeps: they are what the rule reads.
    "text",
    [
        "import time\ntime.sleep(1)",
        "from time import sleep",
        "import time as t\nt.sleep(1)",
        "import threading\nthreading.Event().wait(0.2)",
        "from threading import Event\nEvent().wait(timeout=1)",
    ],
)
def test_a_sleep_is_found(text):
    assert len(rules.sleeps({"tests/test_a.py": text})) == 1


@pytest.mark.parametrize(
    # These neither.
    "text",
    [
        "SCRIPT = 'import time; time.sleep(60)'",
        "import threading\nready = threading.Event()\nready.wait(1.0)",
    ],
    ids=["inside a child's script", "for what another thread sets"],
)
def test_a_wait_that_is_no_sleep_of_the_test_is_allowed(text):
    assert rules.sleeps({"tests/test_a.py": text}) == []
