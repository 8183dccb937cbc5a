"""`ringsync info` and `ringsyncrun --check-build`: what is there, and why not what is missing."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ringsync import _native
from ringsync.info import host, packages
from ringsync.info.finding import Finding, format_findings
from ringsync.info.report import describe_all, describe_build
from ringsync.version import __version__

HEAVY = ("torch", "cupy", "mpi4py", "matplotlib", "mlxtend", "ml_dtypes", "cloudpickle")


def call(*words, **options):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=60, check=False, **options
    )


@pytest.fixture(scope="module")
def facts():
    return json.loads(describe_all(is_json=True))


def named(findings):
    return {each["name"]: each for each in findings}


def test_the_version_and_every_part_of_the_core_are_named(facts):
    built = named(facts["build"])
    assert facts["version"] == __version__
    assert built["ringsync"]["detail"].startswith(f"{__version__}, in ")
    for part, names in (
        ("kernels", _native.kernel_names()),
        ("transports", _native.transport_names()),
        ("algorithms", _native.algorithm_names()),
    ):
        assert set(names) <= set(re.findall(r"\w+", built[part]["detail"]))


def test_all_that_was_asked_for_is_looked_for(facts):
    wanted = {
        "machine": {
            "cores",
            "memory",
            "huge pages",
            "memfd",
            "pidfd",
            "children",
            "process_vm_readv",
        },
        "packages": {"numpy", "cloudpickle", "ml_dtypes", "mlxtend", "matplotlib"},
        "frameworks": {"PyTorch", "CuPy"},
        "mpi": {"mpi4py", "Open MPI", "MPICH", "Intel MPI"},
        "gpu": {"NVIDIA driver", "CUDA", "NCCL"},
    }
    for section, names in wanted.items():
        assert names <= named(facts[section]).keys()


def test_what_is_missing_says_why_and_the_rest_what_it_is(facts):
    for section, findings in facts.items():
        for each in findings if section != "version" else ():
            assert each["detail"], each
            assert "\n" not in each["detail"] + each["advice"]
            assert not (each["is_found"] and each["advice"]), each


def test_an_installed_package_is_found_with_its_version(facts):
    assert named(facts["packages"])["numpy"]["detail"].startswith(metadata.version("numpy"))


def test_pytorch_comes_with_the_doors_that_take_its_scripts(monkeypatch):
    monkeypatch.setattr(packages, "installed_version", lambda *_: "2.13.0")
    torch = packages.look_at_frameworks()[0]
    assert torch.is_found
    assert torch.detail == "2.13.0, by ringsync.torch or ringsyncrun --horovod"


def test_a_missing_package_comes_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(packages, "installed_version", lambda *_: "")
    for found in (*packages.look_at_python(), *packages.look_at_frameworks()):
        assert not found.is_found
        assert "pip install " in found.advice
    assert "pip install mpi4py" in packages.look_at_mpi()[0].advice
    assert all(each.advice for each in packages.look_at_gpu() if not each.is_found)


@pytest.mark.parametrize(
    ("answer", "name", "version"),
    [
        ("mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/", "Open MPI", "4.1.4"),
        ("mpirun (Open MPI) 5.0.11\n", "Open MPI", "5.0.11"),
        ("HYDRA build details:\n    Version:             4.0.2\n", "MPICH", "4.0.2"),
        (
            "Intel(R) MPI Library for Linux* OS, Version 2021.13 Build 20240701\n",
            "Intel MPI",
            "2021.13",
        ),
    ],
)
def test_each_mpi_is_known_by_what_its_launcher_says(answer, name, version, monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda _: "/opt/bin/mpirun")
    monkeypatch.setattr(packages, "_ask", lambda _: answer)
    found = {each.name: each for each in packages.look_at_mpi()[1:]}
    assert found.pop(name) == Finding(name, True, f"{version}, /opt/bin/mpirun")
    assert not any(each.is_found for each in found.values())
    assert all("/opt/bin/mpirun is another MPI's" in each.detail for each in found.values())


def test_a_launcher_of_mpi_that_hangs_or_fails_is_as_good_as_none(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "_ANSWER_S", 0.2)
    program = tmp_path / "mpirun"
    program.write_text("#!/bin/sh\nexec sleep 60\n")  # until it is ended
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert not any(each.is_found for each in packages.look_at_mpi()[1:])
    program.write_text("no program")
    assert not any(each.is_found for each in packages.look_at_mpi()[1:])


def test_reach_that_is_not_permitted_says_who_forbids_it(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "_errno_of_reach", lambda: 1)
    scope = tmp_path / "ptrace_scope"
    monkeypatch.setattr(host, "_PTRACE_SCOPE", scope)
    assert "Operation not permitted" in host._reach().detail
    assert "SYS_PTRACE" in host._reach().advice
    scope.write_text("1\n")
    assert f"{scope} is 1" in host._reach().detail
    assert "ptrace_scope=0" in host._reach().advice


def test_a_kernel_without_lists_of_children_says_what_is_done_instead(monkeypatch, tmp_path):
    assert host._children().is_found
    monkeypatch.setattr(host, "_LIST_OF_CHILDREN", tmp_path / "none")
    found = host._children()
    assert not found.is_found
    assert "search all processes" in found.detail


def require_reaped(pids):
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_reach_is_tried_and_leaves_no_child(monkeypatch):
    forked, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(fork()) or forked[-1])
    assert host._errno_of_reach() in range(134)
    assert forked
    require_reaped(forked)


@pytest.mark.parametrize("count", [0, 1])
def test_no_room_for_a_child_is_a_finding_and_leaves_nothing(count, monkeypatch):
    def refuse():
        if len(forked) == count:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        forked.append(fork())
        return forked[-1]

    forked, fork = [], os.fork
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names of numbers, to compare
    monkeypatch.setattr(os, "fork", refuse)
    found = host._reach()
    assert (found.is_found, len(forked)) == (False, count)
    assert "could not be tried: [Errno 11]" in found.detail
    # Others may have been closed meanwhile, by the collector for one.
    assert not set(os.listdir("/proc/self/fd")) - before  # noqa: PTH208 - likewise
    require_reaped(forked)


def test_a_call_that_the_system_forbids_says_so(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.delattr(os, "pidfd_open")
    found = {each.name: each for each in host.look_at_host()}
    assert "Operation not permitted" in found["memfd"].detail
    assert "memfd_create" in found["memfd"].advice
    assert not found["pidfd"].is_found
    assert "pidfd_open" in found["pidfd"].advice


def test_findings_are_lines_with_marks():
    lines = format_findings(
        "Things", [Finding("a", True, "1.0"), Finding("bcd", False, "not there", "Get it.")]
    )
    assert lines == ["Things:", "    [X] a    1.0", "    [ ] bcd  not there. Get it."]


def test_check_build_has_horovod_s_form():
    text = describe_build(is_json=False)
    lines = text.splitlines()
    assert lines[0] == f"ringsync v{__version__}:"
    titles = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert titles == [
        "Available Frameworks:",
        "Available Controllers:",
        "Available Tensor Operations:",
    ]
    assert all(re.match(r"    \[[X ]\] \S", line) for line in lines[1:] if line[:1] == " ")
    assert "    [X] NumPy" in text
    assert re.search(r"\[X\] shm ", text)


@pytest.mark.parametrize(
    "words",
    [("ringsync", "info"), ("ringsync.launch", "--check-build"), ("ringsync.launch", "-cb")],
    ids=" ".join,
)
def test_the_commands_print_lines_or_json(words):
    done = call("-m", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[X]" in done.stdout
    done = call("-m", *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["version"] == __version__


def test_json_without_a_question_is_refused():
    done = call("-m", "ringsync.launch", "-np", "2", "--json", "true")
    assert done.returncode == 2
    assert done.stderr == (
        "[ringsyncrun] --json goes with --check-build. Add it, or leave --json out.\n"
    )


def test_a_reader_that_has_gone_is_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m ringsync.launch --check-build | true; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 141}
    assert done.stderr == ""


@pytest.mark.parametrize(
    "words", ["ringsync info", "bench.latency --repeat 2 --sizes 4"], ids=["ringsync", "bench"]
)
def test_an_answer_that_cannot_be_written_is_one_line_and_74(words):
    done = subprocess.run(
        f"{sys.executable} -m {words} > /dev/full",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 74, done.stderr
    assert done.stderr.splitlines()[-1].endswith("No space left on device. Make room for it.")
    assert "Traceback" not in done.stderr


def test_nothing_is_imported_to_look_for_it():
    program = (
        "import sys; from ringsync.info.report import describe_all, describe_build; "
        f"describe_all(False), describe_build(False); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert call("-c", program).stdout == "[]\n"
