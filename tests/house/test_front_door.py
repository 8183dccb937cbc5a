"""What README tells a reader to run is what .ci/run runs; both live in one line."""

import os
import shutil
import subprocess

import pytest

from .tree import ROOT

STATED = "<!-- test command -->\n```\n{}\n```\n<!-- /test command -->\n"


def show(folder):
    return subprocess.run(
        [folder / ".ci" / "run", "--show"], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def house(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    return tmp_path


def test_readme_states_the_test_command_that_ci_runs():
    result = show(ROOT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("python3 -m venv .venv && ")
    assert result.stdout.endswith(" && pytest tests\n")


def test_the_ci_script_can_be_executed():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_command_between_the_markers_is_the_one_that_is_shown(house):
    (house / "README.md").write_text("# A\n" + STATED.format("a && b") + "```\nc\n```\n")
    assert show(house).stdout == "a && b\n"


@pytest.mark.parametrize("readme", ["# No markers\n", STATED.format(""), STATED.format("a\nb")])
def test_a_readme_without_exactly_one_test_command_is_refused(house, readme):
    (house / "README.md").write_text(readme)
    result = show(house)
    assert result.returncode == 1
    assert "expected exactly one line" in result.stderr
