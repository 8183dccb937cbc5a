"""Groups of some of the ranks: made by all ranks together, used and closed by their members.

What moves within a group is the collectives' matter, which take it as `group=`.
"""

from ringsync.group.adopting import adopt_nccl
from ringsync.group.making import new_group
from ringsync.group.process_group import ProcessGroup, number_of, ranks_of

__all__ = ["ProcessGroup", "adopt_nccl", "new_group", "number_of", "ranks_of"]
