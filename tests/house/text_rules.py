"""Rules that need no grammar: file names, sizes, words left behind, paths of one person's machine.

Every function takes sources and returns violations.
"""

import re
from pathlib import PurePosixPath

from .tree import Sources

# A file with such a name collects whatever has no home; the second idea in it should get one.
VAGUE_NAMES = ("util", "utils", "helper", "helpers", "common", "manager", "managers", "misc")

# Named by another library, under whose names scripts import what is there.
NAMED_BY_OTHERS = "ringsync/compat/horovod/"

# STYLE aims under 300; beyond this a file holds a second idea that wants a room of its own.
MOST_LINES = 320

# Built from halves, so that this file does not offend against its own rule.
LEFT_BEHIND = re.compile(
    r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b"
)

_PERSONAL_PATH = re.compile(r"(?<![\w.:/-])/(?:home|root|Users|work|workspaces?)/[\w.@-]+")


def vague_file_names(files: Sources) -> list[str]:
    """Files and folders named after nothing in particular."""
    return [
        f"{path}: say what it is for"
        for path in files
        if not path.startswith(NAMED_BY_OTHERS)
        and any(
            word in VAGUE_NAMES
            for part in PurePosixPath(path).parts
            for word in re.split(r"[_.\-]", part.lower())
        )
    ]


def words_left_behind(files: Sources) -> list[str]:
    """Marks of unfinished work; what is missing belongs into the plan or the tracker."""
    return [f"{where}: {match[0]}" for where, match in _matches(LEFT_BEHIND, files)]


def oversized_files(files: Sources) -> list[str]:
    """Sources beyond `MOST_LINES`."""
    return [
        f"{path}: {text.count(chr(10))} lines, more than {MOST_LINES}"
        for path, text in files.items()
        if text.count("\n") > MOST_LINES
    ]


def personal_paths(files: Sources) -> list[str]:
    """Absolute paths that exist on one machine only."""
    return [f"{where}: {match[0]}" for where, match in _matches(_PERSONAL_PATH, files)]


def _matches(pattern: re.Pattern[str], files: Sources) -> list[tuple[str, re.Match[str]]]:
    return [
        (f"{path}:{number}", match)
        for path, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        for match in pattern.finditer(line)
    ]
