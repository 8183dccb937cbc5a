"""Waiting for something to read, on any descriptor.

`select.select` takes none beyond 1023, and a process that has run a thousand tests may have more.
"""

import select


def is_readable(file, limit_s):
    """Whether there is something to read, or the end, within so many seconds."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(max(0.0, 1000 * limit_s)))
