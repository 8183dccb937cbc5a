"""The exit codes of launcher and guards that are no rank's own; those above 63 are of sysexits.h.

What rank or event leads to which is decided elsewhere.
"""

USAGE_ERROR = 2  # as argparse and most shells say it
UNAVAILABLE = 69  # EX_UNAVAILABLE
SOFTWARE_ERROR = 70  # EX_SOFTWARE
OUTPUT_ERROR = 74  # EX_IOERR
NO_PERMISSION = 77  # EX_NOPERM
CONFIGURATION_ERROR = 78  # EX_CONFIG
CANNOT_EXECUTE = 126  # as a shell says it
