"""What the present environment sets for a rank that starts in it, and what of that is refused.

It reads the variables as a rank does, and goes on with the defaults where a rank would not start.
"""

from __future__ import annotations

from dataclasses import fields

from ringsync.config import Settings, read_settings
from ringsync.errors import ConfigError
from ringsync.info.finding import Finding

# Of Settings, what is seen in the environment and no variable of ringsync's own.
_OBSERVED = ("has_thread_count", "has_heap_choice", "misspelt")


def look_at_settings() -> list[Finding]:
    """List what the environment sets.

    Returns:
        What differs from the defaults, or a rank's error; then the variables that nothing reads.
    """
    try:
        settings = read_settings()
    except ConfigError as error:
        return [finding_of("environment", error)]
    detail = ", ".join(_changed(settings)) or "all as by default"
    unread = [
        Finding(name, False, "is set, which ringsync does not read", f"It reads {near}.")
        for name, near in settings.misspelt
    ]
    return [Finding("environment", True, detail), *unread]


def present_settings() -> Settings:
    """Read what a rank would.

    Returns:
        The settings; the defaults where a rank is refused them, which `look_at_settings` tells.
    """
    try:
        return read_settings()
    except ConfigError:
        return Settings()


def finding_of(name: str, error: ConfigError) -> Finding:
    """Put an error in the form of a finding.

    Args:
        name: What was looked for.
        error: Why it cannot be used.

    Returns:
        The finding; the error's last sentence is the advice.
    """
    detail, _, advice = " ".join(str(error).split()).rstrip(".").rpartition(". ")
    return Finding(name, False, detail, f"{advice}.")


def _changed(settings: Settings) -> list[str]:
    """Under the variables' names, by which Horovod's are told too."""
    names = [field.name for field in fields(Settings) if field.name not in _OBSERVED]
    values = [(name, getattr(settings, name)) for name in names]
    default = Settings()
    return [
        f"RINGSYNC_{name.upper()}={value:g}"
        if isinstance(value, float)
        else f"RINGSYNC_{name.upper()}={value}"
        for name, value in values
        if value != getattr(default, name)
    ]
