"""A record becomes lines by size or bars by case; without matplotlib a line says what to do."""

import json

import pytest

from bench.plot import has_sizes, read_points


def record(*points):
    return {
        "machine_info": {"cpu": {"brand_raw": "a processor"}},
        "benchmarks": [
            {
                "group": "allreduce",
                "param": case,
                "extra_info": {"contender": contender, "case": case, "bytes": size},
                "stats": {"median": median},
            }
            for contender, case, size, median in points
        ],
    }


def test_points_are_bytes_and_microseconds_by_contender_and_case():
    found = read_points(record(("openmpi", "4B", 4, 1e-6), ("openmpi", "1KiB", 1024, 2e-6)))
    assert found == {"openmpi": {"4B": (4, 1.0), "1KiB": (1024, 2.0)}}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([("a", "4B", 4, 1.0), ("a", "1KiB", 1024, 1.0)], True),
        ([("a", "4B", 4, 1.0), ("a", "barrier", 0, 1.0), ("a", "1KiB", 1024, 1.0)], True),
        ([("a", "4B", 4, 1.0), ("b", "4B", 4, 1.0)], False),
        ([("a", "resnet50", 102, 1.0), ("a", "bert", 438, 1.0)], False),
    ],
)
def test_lines_are_drawn_by_size_and_models_are_bars(points, expected):
    assert has_sizes(read_points(record(*points))) is expected


def test_without_matplotlib_the_extra_is_named(benches, tmp_path):
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ImportError")
    (tmp_path / "a.json").write_text(json.dumps(record(("a", "4B", 4, 1.0))))
    words = (str(tmp_path / "a.json"), "-o", str(tmp_path / "a.png"))
    done = benches.run("bench.plot", *words, PYTHONPATH=str(tmp_path))
    assert done.returncode == 69
    assert done.stderr == (
        "[bench.plot] matplotlib is not installed. Run pip install 'ringsync[bench]'.\n"
    )


def test_a_file_that_is_no_record_is_refused_with_one_line(benches, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    done = benches.run("bench.plot", str(tmp_path / "a.json"), "-o", str(tmp_path / "a.png"))
    assert done.returncode == 2
    assert "a.json is no record of a bench: KeyError('benchmarks')" in done.stderr
