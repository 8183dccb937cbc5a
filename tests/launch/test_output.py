"""Output arrives whole: every byte, in order, on its own stream, under its rank's name."""

import io
import itertools
import os
import selectors
import socket
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringsync.launch.log import Log
from ringsync.launch.output import Lines, Stream
from ringsync.launch.sink import Sink

TEXT = st.text(alphabet="aé€😀 \r\n", max_size=60).map(str.encode)


def cut(data: bytes, borders: list[int]) -> list[bytes]:
    edges = [0, *sorted(border % (len(data) + 1) for border in borders), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(TEXT, st.lists(st.integers(0, 300), max_size=8))
def test_lines_lose_and_change_no_byte_wherever_chunks_end(data, borders):
    lines = Lines()
    got = [line for chunk in cut(data, borders) for line in lines.feed(chunk)]
    got += lines.finish()
    text = b"".join(got)
    assert text in (data, data + b"\n")
    assert text == b"" or text[-1:] in b"\r\n"
    assert all(line.decode() for line in got)


@given(TEXT, st.lists(st.integers(0, 300), max_size=8))
def test_lines_are_the_same_wherever_chunks_end(data, borders):
    whole, pieces = Lines(), Lines()
    expected = [*whole.feed(data), *whole.finish()]
    got = [line for chunk in cut(data, borders) for line in pieces.feed(chunk)]
    assert [*got, *pieces.finish()] == expected


@given(TEXT)
def test_lines_that_a_guard_has_cut_are_handed_on_at_once(data):
    guard, launcher = Lines(), Lines(is_guarded=True)
    for line in [*guard.feed(data), *guard.finish()]:
        assert list(launcher.feed(b"[0] " + line)) == [b"[0] " + line]
    assert list(launcher.finish()) == []


def test_the_longest_line_with_its_prefix_is_not_cut_again():
    got = list(Lines(reserve_bytes=5).feed(b"x" * 3_000_000))
    whole = b"".join(b"[99]" + line for line in got)
    assert len(list(Lines(is_guarded=True).feed(whole))) == len(got)


def test_a_line_without_end_is_cut_between_characters():
    lines = Lines()
    got = list(lines.feed("é".encode() * 600_000 + b"x"))
    assert len(got) == 1
    assert set(got[0].decode()) == {"é", "\n"}


def _sockets():
    return tuple(end.detach() for end in socket.socketpair())


def _refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_a_paused_reader_blocks_nothing_and_misses_nothing():
    reader, writer = os.pipe()
    with selectors.DefaultSelector() as selector:
        sink = Sink(writer, selector)
        data = bytes(range(256)) * 2000
        sink.write(data)
        assert sink.backlog_bytes == len(data)
        got = b""
        while len(got) < len(data):
            for key, _ in selector.select(5):
                key.data()
            got += os.read(reader, 1 << 20)
        assert got == data
        sink.close()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("make", "is_opened_again"),
    # Another user's terminal may hold a write: nothing tells how much room it has.
    [(os.pipe, True), (os.openpty, True), (_sockets, False), (os.pipe, False)],
)
def test_a_full_stream_never_holds_whoever_writes_to_it(make, is_opened_again, monkeypatch):
    if not is_opened_again:
        monkeypatch.setattr("ringsync.launch.sink.os.open", _refuse)
    reader, writer = make()
    twin = os.dup(writer)
    os.write(writer, bytes(4096))  # so that two times 4096 bytes do not fill it evenly
    with selectors.DefaultSelector() as selector:
        sinks = [Sink(writer, selector), Sink(twin, selector)]  # as stdout and stderr may be
        for sink, letter in zip(sinks, (b"a", b"b"), strict=True):
            sink.write(letter * 300_000)

        def fill():
            while ready := selector.select(0):
                for key, _ in ready:
                    key.data()

        filling = threading.Thread(target=fill, daemon=True)
        filling.start()
        filling.join(5)
        assert not filling.is_alive()
        got = os.read(reader, 65536)
        while len(got) < 604_096:
            fill()
            got += os.read(reader, 65536)
        assert (got.count(b"a"), got.count(b"b")) == (300_000, 300_000)
        for sink in sinks:
            sink.close()
    for descriptor in (reader, writer, twin):
        os.close(descriptor)


class Full(io.BytesIO):
    """A file for which there is room for six bytes; where `is_late`, only its close tells."""

    name = "full.log"

    def __init__(self, is_late):
        super().__init__()
        self.is_late = is_late

    def write(self, data):
        if self.is_late:
            return len(data)
        if room := 6 - self.tell():
            return super().write(data[:room])
        raise OSError(28, "No space left on device")

    def close(self):
        was_open = not self.closed
        super().close()
        if was_open:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("is_late", "size_bytes"), [(False, 6), (True, 8)])
def test_a_log_that_cannot_be_written_is_told_once_and_the_stream_goes_on(is_late, size_bytes):
    told = []
    reader, writer = os.pipe()
    out_reader, out_writer = os.pipe()
    with selectors.DefaultSelector() as selector:
        sink = Sink(out_writer, selector)
        log = Log(Full(is_late), told.append)
        stream = Stream(os.fdopen(reader, "rb", buffering=0), sink, b"[0] ", log=log)
        os.set_blocking(stream.descriptor, False)
        for line in (b"one\n", b"two\n"):
            os.write(writer, line)
            stream.drain()
        while sink.backlog_bytes:
            for key, _ in selector.select(5):
                key.data()
        stream.close()
    assert os.read(out_reader, 4096) == b"[0] one\n[0] two\n"
    [text] = told
    assert text.startswith(
        f"the log full.log is cut here, after {size_bytes} bytes: No space left on device. The job"
    )
    for descriptor in (writer, out_reader, out_writer):
        os.close(descriptor)


def test_a_log_is_cut_with_a_line_that_names_rank_and_file_and_the_job_goes_on(launcher):
    # At the limit Python gets an error like that of a full disk, after a write that takes a part.
    limited = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "os.execv(sys.executable, [sys.executable, '-m', 'ringsync.launch', *sys.argv[1:]])"
    )
    # Modules compiled now are not then, when they would be cut as well, and found so by all later.
    assert launcher.run("-np", "1", "--log-dir", "logs", "true").returncode == 0
    words = ("-np", "2", "--log-dir", "logs", "sh", "-c")
    write = "[ $RANK = 0 ] || printf %05000d 0; echo done"
    done = launcher.run(*words, write, by=("-c", limited))
    assert done.returncode == 0
    (cut,) = [line for line in done.stderr.splitlines() if " is cut here" in line]
    path = f"{launcher.directory}/logs/rank.01/stdout"
    start = f"[ringsyncrun] rank 1: the log {path} is cut here, after 4096 bytes: File too large. "
    assert cut.startswith(start + "The job goes on; ")
    assert Path(path).stat().st_size == 4096
    assert done.stdout.count("done") == 2


def test_each_stream_stays_itself_and_carries_the_rank(launcher):
    script = launcher.script(
        """
        import os, sys
        print("out", os.environ["RANK"])
        print("err", os.environ["RANK"], file=sys.stderr)
        """
    )
    done = launcher.run("-np", "2", script)
    assert sorted(done.stdout.splitlines()) == ["[0] out 0", "[1] out 1"]
    assert sorted(done.stderr.splitlines())[:2] == ["[0] err 0", "[1] err 1"]


def test_a_character_split_between_two_writes_arrives_whole(launcher):
    script = launcher.script(
        r"""
        import fcntl, os, termios, time
        for byte in "né€😀\n".encode():
            os.write(1, bytes([byte]))
            while any(fcntl.ioctl(1, termios.FIONREAD, bytes(4))):
                time.sleep(0.001)  # leaves the cores to the guard, which reads each byte alone
        """
    )
    done = launcher.run("-np", "2", script)
    assert sorted(done.stdout.splitlines()) == ["[0] né€😀", "[1] né€😀"]


def test_a_last_line_without_newline_is_not_lost(launcher):
    script = launcher.script("import sys; sys.stdout.write('progress 1\\rprogress 2')")
    done = launcher.run("-np", "2", script, text=False)
    assert done.stdout.count(b"] progress 1\r") == 2
    assert done.stdout.count(b"] progress 2\n") == 2


def test_what_a_rank_wrote_just_before_it_died_is_shown(launcher):
    script = launcher.script(
        """
        import os, signal
        os.write(2, b"y" * 60000 + b"\\nlast line")
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = launcher.run("-np", "1", script)
    assert done.returncode == 137
    assert done.stderr.count("y") >= 60000
    assert "last stderr line: last line" in done.stderr


def test_much_output_of_many_ranks_is_complete_and_not_mixed(launcher):
    script = launcher.script(
        """
        import os
        for line in range(20000):
            print(os.environ["RANK"] * 50, line)
        """
    )
    done = launcher.run("-np", "3", script)
    for rank in "012":
        mine = [line for line in done.stdout.splitlines() if line.startswith(f"[{rank}]")]
        assert mine == [f"[{rank}] {rank * 50} {line}" for line in range(20000)]


@pytest.mark.parametrize(
    ("np", "options", "expected"),
    [
        ("1", [], {b"a\rb"}),
        ("1", ["--tag-output"], {b"[0] a\r[0] b\n"}),
        # Lines of two ranks come as they come, but whole.
        ("2", ["--no-tag-output"], {b"a\rb\na\rb\n", b"a\ra\rb\nb\n"}),
    ],
)
def test_tags_are_as_asked(launcher, np, options, expected):
    script = launcher.script("print('a\\rb', end='')")
    done = launcher.run("-np", np, *options, script, text=False)
    assert done.stdout in expected


def test_log_files_hold_the_raw_bytes_of_each_rank(launcher):
    script = launcher.script("import os; os.write(1, b'\\xff\\r\\n'); os.write(2, b'no end')")
    done = launcher.run("-np", "2", "--log-dir", "logs/deep", script, text=False)
    assert done.returncode == 0
    for rank in (0, 1):
        directory = launcher.directory / f"logs/deep/rank.0{rank}"
        assert (directory / "stdout").read_bytes() == b"\xff\r\n"
        assert (directory / "stderr").read_bytes() == b"no end"


def test_a_daemon_that_holds_the_pipe_does_not_hold_the_launcher(launcher):
    script = launcher.script(
        """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)  # until the launcher ends it
        print("done")
        """
    )
    done = launcher.run("-np", "2", "--grace-period", "0.2", script)
    assert (done.returncode, done.stdout.count("done")) == (0, 2)


def test_a_full_disk_ends_the_job_and_is_named(launcher):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, not a file
        done = launcher.run("-np", "2", "yes", stdout=full)
    assert done.returncode == 74
    assert "output closed (No space left on device)" in done.stderr


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_are_no_obstacle(launcher, closed):
    inner = f"{sys.executable} -m ringsync.launch -np 1 sh -c 'echo a; echo b >&2; exit 9' {closed}"
    done = launcher.run("-np", "1", "sh", "-c", inner)
    assert done.returncode == 9
