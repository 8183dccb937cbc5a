"""One rank interrupts another in the middle of a wait, whenever it comes to that."""

import os
import re
import signal
import sys
from pathlib import Path

import cloudpickle

# The ranks have no module of this name: what they need of it travels with the functions.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

STATE_AND_SLEEPS = r"(?s)\nState:\s*(\S).*\nvoluntary_ctxt_switches:\s*(\d+)"
# As often as a thread that waits for others is found in the same sleep, and one that only gives way
# to another thread of its own is not.
OFTEN = 100


def strike_once_it_waits(ready: Path, pid: int) -> None:
    """Send SIGALRM to the process `pid`, once `ready` exists and its main thread is asleep."""
    while not ready.exists():
        os.sched_yield()
    status = Path(f"/proc/{pid}/task/{pid}/status")
    earlier, count = None, 0
    while count < OFTEN:
        found = re.search(STATE_AND_SLEEPS, status.read_text()).groups()
        count = count + 1 if found == earlier and found[0] == "S" else 0
        earlier = found
        os.sched_yield()
    os.kill(pid, signal.SIGALRM)
