"""Speed, measured: `python -m bench.allreduce --np 2`, and `pytest bench/` for one process.

Not part of the package and not tests: a figure here is a fact about one machine on one day.
"""

import sys
from pathlib import Path

# `python -m` puts this checkout first, where ringsync/ has no compiled core: an installed ringsync
# must come before it. An editable install is found by other means and is not affected.
_ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [*(place for place in sys.path if Path(place).resolve() != _ROOT), str(_ROOT)]
