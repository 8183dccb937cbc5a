"""`ringsync timeline ...` answers on stdout, refuses on stderr, and its exit code says which."""

import json

import pytest

from ringsync.__main__ import main

SPANS = [
    ("train", "forward", 0, 10_000_000),
    ("train", "step", 10_000_000, 20_000_000),
    ("engine", "run", 5_000_000, 15_000_000),
    ("engine", "agree", 0, 1_000),
]


def test_merge_then_check_then_summary(write_rank, tmp_path, capsys):
    write_rank(0, SPANS)
    write_rank(1, SPANS)
    assert main(["timeline", "merge", str(tmp_path)]) == 0
    assert "8 events of 2 ranks" in capsys.readouterr().out
    assert main(["timeline", "check", str(tmp_path)]) == 0
    assert main(["timeline", "check", str(tmp_path / "timeline.json")]) == 0
    assert capsys.readouterr().out.count("no problems") == 2
    assert main(["timeline", "summary", str(tmp_path / "timeline.json")]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "rank"
    assert first.split() == ["0", "1", "20.000", "10.000", "0.000", "100.0", "0.000", "0.000"]


def test_json_answers_are_json(write_rank, tmp_path, capsys):
    write_rank(0, SPANS, size=2, dropped=4)
    assert main(["timeline", "merge", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == [1]
    assert main(["timeline", "check", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == [
        "ranks 1 of 2 left no file",
        "rank '0' had no room for 4 events",
    ]
    assert main(["timeline", "summary", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["size"], document["ranks"][0]["overlap"]) == (2, 1.0)


def test_the_table_says_what_is_missing(write_rank, tmp_path, capsys):
    write_rank(1, [("train", "forward", 0, 5)], size=3, dropped=4)
    assert main(["timeline", "summary", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "no file of ranks [0, 2] of 3" in text
    assert "rank 1 dropped 4 events" in text
    assert "rank 1 recorded no complete step" in text


def test_a_faulty_merged_file_fails_the_check(tmp_path, capsys):
    (tmp_path / "timeline.json").write_text('{"traceEvents": [7]}')
    assert main(["timeline", "check", str(tmp_path)]) == 1
    assert "event 0 is not an object" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "arguments are required: COMMAND"),
        (["timeline"], "arguments are required: ACTION"),
        (["timeline", "summary"], "arguments are required: PATH"),
        (["timeline", "summary", "/no/such/place"], "is not a directory"),
        (["timeline", "check", "/no/such/place"], "cannot be read"),
        (["timeline", "check", "pyproject"], "cannot be read"),
        (["timeline", "paint", "."], "invalid choice"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(words, part, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert part in err


def test_a_trace_of_something_else_is_not_checked(tmp_path, capsys):
    (tmp_path / "timeline.json").write_text("[]")
    assert main(["timeline", "check", str(tmp_path)]) == 2
    assert "has no list traceEvents" in capsys.readouterr().err
