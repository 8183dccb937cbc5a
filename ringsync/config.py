"""Settings and the place of this process in the job, read once from the environment.

This is the only module below the launcher that looks at environment variables. What launchers say
in theirs of a rank's place is `world`'s matter.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from ringsync.errors import ConfigError
from ringsync.world import VARIABLES, World, find_world

_PREFIX = "RINGSYNC_"
_TUNING = (
    "RINGSYNC_TIMEOUT_S",
    "RINGSYNC_STALL_WARN_S",
    "RINGSYNC_STALL_ABORT_S",
    "RINGSYNC_START_TIMEOUT_S",
    "RINGSYNC_BUCKET_MIB",
    "RINGSYNC_ALGORITHM",
    "RINGSYNC_TIMELINE",
    "RINGSYNC_DEVICE_PLUGIN",
    "RINGSYNC_NCCL",
    "RINGSYNC_NCCL_LIB",
)

# What stands for one of these in job scripts that were written for Horovod.
_ALIASES = (
    "HOROVOD_STALL_CHECK_TIME_SECONDS",
    "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS",
    "HOROVOD_START_TIMEOUT",
    "HOROVOD_FUSION_THRESHOLD",
    "HOROVOD_TIMELINE",
)
# No variable of Horovod's that means nothing here is as near as this to one that does; one wrong
# letter leaves the shortest of them nearer.
_NEAR_ALIAS = 0.87

# The GNU C library's own.
_HEAP = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_")

# Those that are not what is taken anyway; the native core's others are, wherever they apply.
_ALGORITHMS = ("direct", "ring", "halving_doubling", "tree")

# The second is a device on a host, for tests; no wheel has it.
_DEVICE_PLUGINS = ("cuda", "hostsim")

# NCCL where all ranks have it: who has more than one GPU has it, and it is made for them.
_NCCL = ("auto", "off")


@dataclass(frozen=True, slots=True)
class Settings:
    """Tuning that a user may set.

    Attributes:
        timeout_s: Seconds after which an operation that does not complete is an error; for ever
            unless the user has set them, because a stall is an error anyway.
        stall_warn_s: Seconds without any progress after which those that keep others waiting are
            named, with their stacks.
        stall_abort_s: Seconds without any progress after which that is an error.
        start_timeout_s: Seconds that ranks wait for one another in `init`.
        bucket_mib: Largest bucket of gradients in MiB.
        algorithm: The one to prefer, of allreduces or of broadcasts; "" leaves the choice to the
            cost model.
        timeline: Directory to record a timeline in; "" for none.
        device_plugin: What serves arrays on devices, if it was built.
        nccl: "auto" takes NCCL for arrays on devices where all ranks have it, "off" never.
        nccl_lib: NCCL's file; "" to look for it.
        has_thread_count: The user chose how many threads NumPy's libraries use.
        has_heap_choice: The user chose what the C library does with freed memory.
        misspelt: Variables that are set and nearly have a name that is read, each with that name.
    """

    timeout_s: float = math.inf
    stall_warn_s: float = 30.0
    stall_abort_s: float = 600.0
    start_timeout_s: float = 60.0
    bucket_mib: float = 8.0
    algorithm: str = ""
    timeline: str = ""
    device_plugin: str = "cuda"
    nccl: str = "auto"
    nccl_lib: str = ""
    has_thread_count: bool = False
    has_heap_choice: bool = False
    misspelt: tuple[tuple[str, str], ...] = ()


_DEFAULTS = Settings()


def read_world(environ: Mapping[str, str] | None = None) -> World:
    """Find out which rank this process is.

    Args:
        environ: Variables to read instead of the process's own.

    Returns:
        The place named by the first complete family of variables; a world of size 1 when there is
        none.

    Raises:
        ConfigError: A family has only one of its rank and size, a value is no number or out of
            range, there are too many ranks, or the ranks are spread over several hosts.
    """
    return find_world(os.environ if environ is None else environ)


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the tuning variables, Horovod's names as aliases.

    Args:
        environ: Variables to read instead of the process's own.

    Returns:
        The settings; defaults where nothing is set.

    Raises:
        ConfigError: A value is no number, or not above zero, or there is no such algorithm.
    """
    variables = os.environ if environ is None else environ
    bucket_mib = _number(variables, "RINGSYNC_BUCKET_MIB", 0.0, "MiB as a plain number, like 8")
    if not bucket_mib:
        bucket_mib = _fusion_threshold_mib(variables)
    start_timeout_s = _number(variables, "RINGSYNC_START_TIMEOUT_S", 0.0, "seconds") or _number(
        variables, "HOROVOD_START_TIMEOUT", _DEFAULTS.start_timeout_s, "seconds"
    )
    return Settings(
        timeout_s=_number(variables, "RINGSYNC_TIMEOUT_S", _DEFAULTS.timeout_s, "seconds"),
        stall_warn_s=_limit(
            variables,
            "RINGSYNC_STALL_WARN_S",
            "HOROVOD_STALL_CHECK_TIME_SECONDS",
            _DEFAULTS.stall_warn_s,
        ),
        stall_abort_s=_limit(
            variables,
            "RINGSYNC_STALL_ABORT_S",
            "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS",
            _DEFAULTS.stall_abort_s,
        ),
        start_timeout_s=start_timeout_s,
        bucket_mib=bucket_mib,
        algorithm=_algorithm(variables),
        timeline=variables.get("RINGSYNC_TIMELINE", "") or _timeline_of_horovod(variables),
        device_plugin=_word(variables, "RINGSYNC_DEVICE_PLUGIN", _DEVICE_PLUGINS),
        nccl=_word(variables, "RINGSYNC_NCCL", _NCCL),
        nccl_lib=variables.get("RINGSYNC_NCCL_LIB", ""),
        has_thread_count=any(
            variables.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        ),
        has_heap_choice=any(variables.get(name) for name in _HEAP)
        or "glibc.malloc." in variables.get("GLIBC_TUNABLES", ""),
        misspelt=_misspelt(variables),
    )


def _misspelt(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names that are near one that is read; any other with its prefix may be the user's own."""
    own = _near(variables, _PREFIX, (*_TUNING, *VARIABLES), 0.6)  # difflib's own idea of near
    return own + _near(variables, "HOROVOD_", _ALIASES, _NEAR_ALIAS)


def _near(
    variables: Mapping[str, str], prefix: str, read: tuple[str, ...], least: float
) -> tuple[tuple[str, str], ...]:
    known = [name.removeprefix(prefix) for name in read]
    unknown = sorted(
        name.removeprefix(prefix)
        for name in variables
        if name.startswith(prefix) and name not in read
    )
    return tuple(
        (prefix + name, prefix + near)
        for name in unknown
        for near in difflib.get_close_matches(name, known, n=1, cutoff=least)
    )


def _algorithm(variables: Mapping[str, str]) -> str:
    name = variables.get("RINGSYNC_ALGORITHM", "")
    if name and name not in _ALGORITHMS:
        raise ConfigError(
            f"[config] RINGSYNC_ALGORITHM={name!r} is none to choose; one of "
            f"{', '.join(_ALGORITHMS)} is expected. Correct it, or leave it empty for the cheapest."
        )
    return name


def _word(variables: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    """One of several words, of which the first is the default."""
    word = variables.get(name, "") or words[0]
    if word not in words:
        raise ConfigError(
            f"[config] {name}={word!r} is none; one of {', '.join(words)} is expected. Correct it, "
            f"or leave it empty for {words[0]}."
        )
    return word


def _fusion_threshold_mib(variables: Mapping[str, str]) -> float:
    """Horovod's limit in bytes, where 0 means that each tensor travels alone."""
    if variables.get("HOROVOD_FUSION_THRESHOLD", "") == "0":
        return 2**-20
    threshold_bytes = _number(variables, "HOROVOD_FUSION_THRESHOLD", 0.0, "a number of bytes")
    return threshold_bytes / 2**20 or _DEFAULTS.bucket_mib


def _timeline_of_horovod(variables: Mapping[str, str]) -> str:
    """Horovod's file of rank 0, here the ranks' directory; DYNAMIC waits for `start_timeline`."""
    path = variables.get("HOROVOD_TIMELINE", "")
    return "" if path == "DYNAMIC" else path


def _limit(variables: Mapping[str, str], name: str, alias: str, default: float) -> float:
    """Seconds under either name; 0 means never."""
    used = name if variables.get(name) else alias
    if variables.get(used, "").strip() in ("0", "0.0"):
        return math.inf
    return _number(variables, used, default, "seconds, or 0 for never", "from 0")


def _number(
    variables: Mapping[str, str], name: str, default: float, form: str, span: str = "above 0"
) -> float:
    text = variables.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ConfigError(f"[config] {name}={text!r} is not a finite number {span}. Write {form}.")
    return value
