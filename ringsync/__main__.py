"""The command `ringsync`: hands each sub-command to its room and prints the answer.

Starting ranks is another command, `ringsyncrun`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from ringsync.errors import ConfigError
from ringsync.info.report import describe_all
from ringsync.report.cli import Answer, add_timeline_parser

_USAGE_ERROR = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"[ringsync] {message}. See {self.prog} --help.")


def main(words: Sequence[str] | None = None) -> int:
    """Run `ringsync`.

    Args:
        words: The command line without the program's name; None means `sys.argv`.

    Returns:
        The sub-command's exit code; 2 for what cannot be done as written, 74 where the answer
        cannot be written, 141 where nobody reads it.
    """
    parser: argparse.ArgumentParser = _Parser(
        prog="ringsync", description="Look at ringsync and its runs.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_info_parser(commands)
    add_timeline_parser(commands)
    try:
        arguments = parser.parse_args(words)
        answer: Answer = arguments.run(arguments)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE_ERROR
    try:
        sys.stdout.write(answer.text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # Without this the interpreter would complain while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has gone
            return 128 + signal.SIGPIPE
        sys.stderr.write(f"[ringsync] the answer cannot be written: {error}. Make room for it.\n")
        return os.EX_IOERR
    return answer.status


def _add_info_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "what was built, what this machine has, and why something is missing"
    info = commands.add_parser("info", help=text, description=text, allow_abbrev=False)
    info.add_argument("--json", action="store_true", help="answer in JSON")
    info.set_defaults(run=lambda arguments: Answer(describe_all(arguments.json)))


if __name__ == "__main__":
    sys.exit(main())
