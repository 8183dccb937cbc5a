"""The first line of the command `ringsyncrun`, which Ctrl-C may reach before the others.

It lies beside ringsync, whose import alone takes some tenths of a second. What the command does is
in ringsync.launch.
"""

import signal

__all__ = ["main"]


def main() -> int:
    """Run `ringsyncrun`.

    Until the ranks are there, Ctrl-C ends it by the signal, as it ends any command.

    Returns:
        The exit code, see ringsync.launch.cli.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ringsync.launch import cli  # noqa: PLC0415 - not before that

    return cli.main()
