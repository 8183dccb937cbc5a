"""The command line of `ringsyncrun`: what may be written, and what it means.

It reads words only; nothing here looks at files, processes or the environment.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ringsync.errors import ConfigError
from ringsync.launch.hosts import Host, parse_hosts
from ringsync.launch.placement import physical_core_count
from ringsync.seconds import LONGEST_S
from ringsync.version import __version__
from ringsync.world import MOST_RANKS

# Options followed by a value of their own, so that the command's first word can be told from it.
_VALUED = frozenset(
    {
        "-np",
        "-n",
        "--num-proc",
        "-H",
        "--hosts",
        "--timeline",
        "--log-dir",
        "-x",
        "--grace-period",
        "--start-timeout",
        "--dump-stacks-after",
    }
)

_SIZE_MISSPELT = re.compile(r"^unrecognized arguments: (?:.* )?(?:-np|-n|--np|--n)=?(\d*)(?: |$)")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The options as given, checked one by one but not yet against each other.

    Attributes:
        size: Value of `-np`, or None.
        hosts: Hosts of `-H`.
        timeline: Value of `--timeline`, or None.
        log_dir: Value of `--log-dir`, or None.
        exports: Values of `-x`, in order.
        is_horovod: Whether `--horovod` was given.
        is_tagged: Value of `--tag-output`, or None for the default.
        grace_s: Value of `--grace-period`.
        start_timeout_s: Value of `--start-timeout`, or None.
        stacks_after_s: Value of `--dump-stacks-after`, or None.
        is_verbose: Whether `--verbose` was given.
        is_build_asked: Whether `--check-build` was given.
        is_json: Whether `--json` was given.
        command: What follows the options.
    """

    size: int | None
    hosts: tuple[Host, ...]
    timeline: Path | None
    log_dir: Path | None
    exports: tuple[str, ...]
    is_horovod: bool
    is_tagged: bool | None
    grace_s: float
    start_timeout_s: float | None
    stacks_after_s: float | None
    is_verbose: bool
    is_build_asked: bool
    is_json: bool
    command: tuple[str, ...]


def parse_arguments(words: Sequence[str]) -> Arguments:
    """Parse a command line; `--help` and `--version` print and leave by SystemExit.

    Args:
        words: The command line without the program's name.

    Returns:
        The options and the command.

    Raises:
        ConfigError: An option is unknown or its value is not usable.
    """
    options, command = split_command(words)
    parsed = _parser().parse_args(options)
    return Arguments(
        size=parsed.num_proc,
        hosts=parse_hosts(parsed.hosts) if parsed.hosts is not None else (),
        timeline=parsed.timeline,
        log_dir=parsed.log_dir,
        exports=tuple(parsed.x),
        is_horovod=parsed.horovod,
        is_tagged=parsed.tag_output,
        grace_s=parsed.grace_period,
        start_timeout_s=parsed.start_timeout,
        stacks_after_s=parsed.dump_stacks_after,
        is_verbose=parsed.verbose,
        is_build_asked=parsed.check_build,
        is_json=parsed.json,
        command=command,
    )


def split_command(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Divide a command line where the ranks' command begins, which has options of its own.

    Args:
        words: The whole command line.

    Returns:
        The launcher's options, and the command: from `-m`, the first word that is no option, or
        what follows `--`.
    """
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return list(words[:position]), tuple(words[position + 1 :])
        if word == "-m" or not word.startswith("-"):
            break
        position += 2 if word in _VALUED else 1
    return list(words[:position]), tuple(words[position:])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Written as one word, or as other launchers and long options have it.
        if unknown := _SIZE_MISSPELT.search(message):
            message += f". The number of ranks is written -np {unknown[1] or 'N'}"
        raise ConfigError(f"[ringsyncrun] {message}. See ringsyncrun --help.")

    def _get_option_tuples(self, option_string: str) -> list[Any]:  # noqa: ARG002 - argparse's
        """No option is meant by a part of it: else -c, as Python has it, would be -cb."""
        return []


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ringsyncrun",
        usage="ringsyncrun -np N [options] [--] script.py|-m module|program [args...]",
        description="Start N ranks of a program on this host, and end them together.",
        epilog="The exit code is that of the rank that failed first; 128 + signal for signals.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-np", "-n", "--num-proc", type=_size, metavar="N", help="ranks; auto = physical cores")
    add("-H", "--hosts", metavar="HOST:SLOTS,...", help="only this host so far")
    add("--timeline", type=_directory, metavar="DIR", help="record every rank, merged at the end")
    add("--log-dir", type=_directory, metavar="DIR", help="keep each rank's output, summary.json")
    add("-x", action="append", default=[], metavar="NAME[=VAL]", help="environment of the ranks")
    add("--horovod", action="store_true", help="let the ranks import ringsync as horovod")
    add(
        "--tag-output",
        action=argparse.BooleanOptionalAction,
        help="start each line with [rank]; the default with more than one rank",
    )
    add(
        "--grace-period",
        type=_seconds,
        default=3.0,
        metavar="S",
        help="from SIGTERM to SIGKILL when the job ends early (3)",
    )
    add("--start-timeout", type=_limit, metavar="S", help="how long ranks look for each other")
    add(
        "--dump-stacks-after",
        type=_seconds,
        metavar="S",
        help="show all Python stacks after S seconds, as SIGUSR1 and SIGQUIT do at any time",
    )
    add("--verbose", action="store_true", help="tell the start and end of every rank")
    add("--check-build", "-cb", action="store_true", help="list what this version can use, and end")
    add("--json", action="store_true", help="with --check-build: answer in JSON")
    add("--version", action="version", version=f"ringsyncrun {__version__}")
    return parser


def _size(text: str) -> int:
    if text == "auto":
        return physical_core_count()
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MOST_RANKS:
        raise argparse.ArgumentTypeError(f"{text!r} is not auto or a number in 1..{MOST_RANKS}")
    return int(text)


def _directory(text: str) -> Path:
    if not text:  # an empty variable of a script, perhaps; Path would take it for "."
        raise argparse.ArgumentTypeError("'' is no directory")
    return Path(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def _limit(text: str) -> float:
    seconds = _seconds(text)
    if seconds == 0:
        raise argparse.ArgumentTypeError(f"{text!r} leaves no time; seconds above 0 are expected")
    return seconds
