"""The sub-command `timeline` of `ringsync`: its words, and the text it answers with.

It prints nothing itself; __main__.py does.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from ringsync.errors import ConfigError
from ringsync.report.check import check_merged
from ringsync.report.merge import MERGED_NAME, merge_directory
from ringsync.report.summary import summary_records, summary_table
from ringsync.report.timeline import load_directory


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say.

    Attributes:
        text: For stdout, without a final newline.
        status: The exit code.
    """

    text: str
    status: int = 0


def add_timeline_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `timeline merge|check|summary PATH [--json]`; the parsed `run` gives an `Answer`.

    Args:
        commands: The sub-parsers of the program.
    """
    parser = commands.add_parser("timeline", help="look at what a run recorded")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, run, text in (
        ("merge", _merge, "join the ranks' files into one for ui.perfetto.dev"),
        ("check", _check, "find what a viewer would drop or misdraw"),
        ("summary", _summarize, "steps, exposed communication, overlap, waiting"),
    ):
        action = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        action.add_argument("path", type=Path, metavar="PATH", help="directory of --timeline")
        action.add_argument("--json", action="store_true", help="answer in JSON")
        action.set_defaults(run=run)


def _merge(arguments: argparse.Namespace) -> Answer:
    try:
        merged = merge_directory(_directory(arguments.path))
    except OSError as error:
        raise ConfigError(
            f"[timeline] {arguments.path} cannot be written: {error.strerror}. Copy the rank "
            "files to a directory of yours."
        ) from error
    missing = sorted(set(range(merged.size)) - set(merged.ranks))
    if arguments.json:
        facts = {
            "path": str(merged.path),
            "ranks": merged.ranks,
            "missing": missing,
            "events": merged.events,
            "dropped": merged.dropped,
        }
        return Answer(json.dumps(facts))
    lines = [
        f"{merged.path}: {merged.events} events of {len(merged.ranks)} ranks "
        "(open it in ui.perfetto.dev or chrome://tracing)"
    ]
    if missing:
        lines.append(f"no file of ranks {missing} of {merged.size}")
    if merged.dropped:
        lines.append(f"the ranks dropped {merged.dropped} events for want of room")
    return Answer("\n".join(lines))


def _check(arguments: argparse.Namespace) -> Answer:
    path: Path = arguments.path
    merged = path / MERGED_NAME if path.is_dir() else path
    problems = check_merged(merged)
    status = 1 if problems else 0
    if arguments.json:
        return Answer(json.dumps({"path": str(merged), "problems": problems}), status)
    return Answer("\n".join(problems) if problems else f"{merged}: no problems", status)


def _summarize(arguments: argparse.Namespace) -> Answer:
    timelines = load_directory(_directory(arguments.path))
    if arguments.json:
        return Answer(json.dumps(summary_records(timelines), indent=1))
    return Answer(summary_table(timelines))


def _directory(path: Path) -> Path:
    """Take the merged file for the directory that it lies in."""
    return path.parent if path.name == MERGED_NAME and path.is_file() else path
