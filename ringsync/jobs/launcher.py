"""The launcher as a child of the caller: starts it, shows what it prints, and ends it.

A process of its own, because it forks, adopts orphans and takes over signals; a notebook has
threads, children and handlers that this would upset.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import TextIO

from ringsync.jobs.request import Request, encode_request
from ringsync.seconds import seconds_until

_READ_BYTES = 64 * 1024  # the usual capacity of a pipe
# Blocked from the first line on: they wait until the launcher heeds them, and end nothing halfway.
# SIGTERM is how this process, and the kernel at its end, has the launcher end the job; one that
# ignores it would leave that to its children by exec.
_BEGIN_LAUNCHER = (
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, "
    "[signal.SIGINT, signal.SIGTERM, signal.SIGHUP]); "
    "signal.signal(signal.SIGTERM, signal.SIG_DFL)"
)


def python_command(module: str, *words: str, begin: str = "pass") -> tuple[str, ...]:
    """Build a command that runs `main` of a module where modules are found as they are here.

    Args:
        module: Its name.
        words: Its arguments.
        begin: A statement to run first.

    Returns:
        The argument vector.
    """
    paths = [str(path) for path in sys.path]
    program = f"{begin}; import sys; sys.path[:] = {paths!r}; from {module} import main; main()"
    return (sys.executable, "-P", "-c", program, *words)


def run_launcher(request: Request, descriptors: tuple[int, ...], timeout_s: float | None) -> bool:
    """Run a job and show its output in this process's streams.

    Whatever is raised here meanwhile, KeyboardInterrupt above all, ends every process of the job
    first. So does the end of the calling thread or of this process.

    Args:
        request: The job.
        descriptors: What the launcher inherits.
        timeout_s: Seconds until the job is ended, or None.

    Returns:
        False if the time was over.
    """
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    process = subprocess.Popen(
        python_command("ringsync.launch.called", str(os.getpid()), begin=_BEGIN_LAUNCHER),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pass_fds=descriptors,
        start_new_session=True,  # Ctrl-C reaches it through this process only, so once
    )
    # It starts nothing before it has the whole request, so up to here nothing can be left behind.
    with process:
        output = _Output(process)
        try:
            _send(process, request)
            if output.carry(deadline_s):
                return True
        except BaseException as error:  # whatever it is, it leaves no process of the job behind
            is_interrupt = isinstance(error, KeyboardInterrupt)
            _end(process, output, signal.SIGINT if is_interrupt else signal.SIGTERM, is_interrupt)
            raise
        _end(process, output, signal.SIGTERM, is_shown=True)
        return False


class _Output:
    """The launcher's two streams, on their way to this process's own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.is_shown = True
        self._process = process
        self._is_lost = [False, False]
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(2)]

    def carry(self, deadline_s: float | None) -> bool:
        """Show all until the launcher has ended; False if the deadline came first."""
        with selectors.DefaultSelector() as selector:
            for index, pipe in enumerate((self._process.stdout, self._process.stderr)):
                if pipe is not None and not pipe.closed:
                    selector.register(pipe, selectors.EVENT_READ, index)
            while selector.get_map():
                ready = selector.select(seconds_until(deadline_s))
                if deadline_s is not None and time.monotonic() >= deadline_s:
                    return False
                for key, _ in ready:
                    data = os.read(key.fd, _READ_BYTES)
                    if not data:
                        selector.unregister(key.fileobj)
                    self._show(key.data, data)
        # No process of the job has these pipes any more, so it has ended, or does so now.
        self._process.wait()
        return True

    def _show(self, index: int, data: bytes) -> None:
        text = self._decoders[index].decode(data, final=not data)
        stream: TextIO | None = (sys.stdout, sys.stderr)[index]
        if not text or stream is None or not self.is_shown or self._is_lost[index]:
            return
        try:
            _write(stream, text)
            stream.flush()
        except (OSError, ValueError) as error:
            # Its reader has gone, its disk is full, it is closed; but what the ranks return is
            # worth more than what they print.
            self._is_lost[index] = True
            if index == 0:
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        why = str(error).rstrip(".")
        with contextlib.suppress(OSError, ValueError):  # there is nowhere left to say it
            sys.stderr.write(
                f"[run] what the ranks print cannot be written to stdout: {why}. The ranks go on, "
                "and it is left out from here. Give sys.stdout a reader, or room.\n"
            )
            sys.stderr.flush()


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a character that it has not is no reason to lose the rest
        stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))


def _send(process: subprocess.Popen[bytes], request: Request) -> None:
    if process.stdin is None:
        return
    # A launcher that could not even start has closed it; what it printed says why.
    with contextlib.suppress(BrokenPipeError):
        left = memoryview(encode_request(request))
        while left:
            left = left[process.stdin.write(left) :]
    process.stdin.close()


def _end(
    process: subprocess.Popen[bytes], output: _Output, number: signal.Signals, is_shown: bool
) -> None:
    """Have the launcher end the job, and wait for it; a second interrupt ends it at once.

    Killed, it leaves that to the ranks' guards, who hold its stderr until they have done it.
    """
    if signal.getsignal(number) == signal.SIG_IGN:
        number = signal.SIGTERM  # the launcher ignores what this process ignores
    output.is_shown = is_shown
    for attempt in itertools.chain([number], itertools.repeat(signal.SIGKILL)):
        process.send_signal(attempt)
        try:
            output.carry(None)
        except BaseException:  # the first one is raised, once nothing is left to end
            output.is_shown = False
        else:
            return
