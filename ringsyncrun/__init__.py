"""The first line of the command `ringsyncrun`, which Ctrl-C may reach before the others.

It lies beside ringsync, whose import alone takes some tenths of a second. What the command does is
in ringsync.launch.
"""

# What `signal` is made of, but built in: the module itself takes milliseconds, mostly for enum.
import _signal  # type: ignore[import-not-found]  # of which mypy has no description

__all__ = ["main"]


def main() -> int:
    """Run `ringsyncrun`.

    Until the ranks are there, Ctrl-C ends it by the signal, as it ends any command.

    Returns:
        The exit code, see ringsync.launch.cli.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # else it is ignored
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from ringsync.launch import cli  # noqa: PLC0415 - not before that

    return cli.main()
