"""Reads `-H host:slots,...` and says which names mean this machine.

It opens no connection and asks no name server: a launcher must not hang on DNS.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from ringsync.errors import ConfigError


class UnavailableError(ConfigError):
    """A host that was asked for cannot run ranks."""


@dataclass(frozen=True, slots=True)
class Host:
    """One entry of `-H`.

    Attributes:
        name: As the user wrote it, without brackets.
        slots: Ranks that may run there.
    """

    name: str
    slots: int


def parse_hosts(text: str) -> tuple[Host, ...]:
    """Parse a comma-separated list of `name`, `name:slots` or `[v6]:slots`.

    Args:
        text: The value of `-H`; a name without slots offers one.

    Returns:
        The hosts in the order written, each one once.

    Raises:
        ConfigError: An entry is malformed or listed twice.
        UnavailableError: One is not this host.
    """
    hosts = tuple(_parse_host(entry.strip(), text) for entry in text.split(","))
    names = [host.name for host in hosts]
    away = [name for name in names if not is_local(name)]
    if away:
        raise UnavailableError(
            f"[ringsyncrun] -H names {', '.join(away)}, and only this host "
            f"({socket.gethostname()}) can run ranks so far. Write "
            f"-H localhost:{sum(host.slots for host in hosts)}, "
            "or leave -H out."
        )
    if len(names) > 1:
        raise ConfigError(
            f"[ringsyncrun] -H {text!r} lists this host {len(names)} times; each host goes in "
            f"once. Write -H {names[0]}:{sum(host.slots for host in hosts)}."
        )
    return hosts


def is_local(name: str) -> bool:
    """Tell whether `name` means this machine, without a name server.

    Args:
        name: A host name or an address.

    Returns:
        True for the loopback names and addresses and for this host's own name, long or short.
    """
    own = socket.gethostname()
    return name.lower() in {"localhost", "127.0.0.1", "::1", own.lower(), own.split(".")[0].lower()}


def _parse_host(entry: str, text: str) -> Host:
    name, slots = _split_slots(entry)
    if not name or not slots.isascii() or not slots.isdigit() or int(slots) < 1:
        raise ConfigError(
            f"[ringsyncrun] -H {text!r}: {entry!r} is not host:slots with slots of 1 or more. "
            "Write for example -H localhost:2, or [::1]:2."
        )
    return Host(name, int(slots))


def _split_slots(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":") if rest else "1"
    if entry.count(":") > 1:
        return (entry, "1") if _is_address(entry) else ("", "")
    name, colon, slots = entry.partition(":")
    return name, slots if colon else "1"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
