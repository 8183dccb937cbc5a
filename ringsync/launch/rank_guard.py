"""The door of a guard: `python rank_guard.py [options] -- program args` runs one rank under it.

A guard must start in no time, and the package's root would import NumPy and the engine. So the
root is stood in for by an empty one that only knows where its modules are.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

if __name__ == "__main__":
    if "ringsync" not in sys.modules:
        root = ModuleType("ringsync")
        here = os.path.realpath(__file__)  # not pathlib: it takes longer than all else
        root.__path__ = [here.rsplit("/", 2)[0]]
        sys.modules["ringsync"] = root
    from ringsync.launch.guard import main

    os._exit(main(sys.argv[1:]))  # nothing is buffered; to tear all down takes 10 ms
