"""Names, sizes and words of the whole tree; each rule first proves that it can see an offence."""

import pytest

from . import text_rules as rules
from .tree import CPP_SUFFIXES, PYTHON_SUFFIXES, everything, require_none, sources

SOURCE_PLACES = ("ringsync", "ringsyncrun", "native", "bench", "tests")
SOURCE_SUFFIXES = (*CPP_SUFFIXES, *PYTHON_SUFFIXES)


def test_no_file_is_named_after_nothing_in_particular():
    require_none(rules.vague_file_names(everything()))


def test_no_unfinished_work_is_left_as_a_remark():
    require_none(rules.words_left_behind(sources(*SOURCE_PLACES)))


def test_no_source_file_outgrows_its_one_idea():
    require_none(
        rules.oversized_files(sources(*SOURCE_PLACES, "examples", suffixes=SOURCE_SUFFIXES))
    )


def test_no_text_names_a_path_of_one_machine():
    require_none(rules.personal_paths(everything()))


@pytest.mark.parametrize(
    "path",
    ["native/base/utils.h", "ringsync/common/__init__.py", "tests/array_helper.py", "docs/misc.md"],
)
def test_a_vague_file_name_is_found(path):
    assert len(rules.vague_file_names({path: "", "ringsync/commonality.py": ""})) == 1


def test_horovod_s_own_names_are_kept_where_scripts_import_them():
    assert rules.vague_file_names({"ringsync/compat/horovod/common/util.py": ""}) == []


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"])
def test_a_word_left_behind_is_found(word):
    text = f"fd = mkstemp('ringsync-XXXXXX')\n# {word}(me): later\n"
    assert rules.words_left_behind({"ringsync/a.py": text}) == [f"ringsync/a.py:2: {word}"]


def test_an_oversized_file_is_found():
    files = {"a.py": "\n" * rules.MOST_LINES, "b.py": "\n" * (rules.MOST_LINES + 1)}
    assert rules.oversized_files(files) == ["b.py: 321 lines, more than 320"]


@pytest.mark.parametrize("start", ["/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "/ro" + "ot/"])
def test_a_path_of_one_machine_is_found(start):
    text = f"run {start}alice/x\nsee https://example.org{start}alice and a{start}b\n"
    assert rules.personal_paths({"README.md": text}) == [f"README.md:1: {start}alice"]
