"""What one run of the launcher is: the settled facts, after every check and before any rank.

It holds no behaviour beyond names derived from these facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that supervise.py needs to run one job.

    Attributes:
        command: Argument vector of every rank.
        size: Number of ranks.
        job_id: Random, lower-case hexadecimal.
        rendezvous: A directory of this job alone, mode 0700, removed when it ends.
        environment: What every rank shares; the numbers of a rank are added at its start.
        timeline: Directory of the ranks' timeline files, or None.
        log_dir: Directory of the ranks' output and of summary.json, or None.
        is_horovod: Whether the ranks import ringsync under Horovod's name.
        is_tagged: Whether each line of output starts with `[rank]`.
        grace_s: Seconds between the request to end and SIGKILL.
        is_verbose: Whether the start and end of every rank is told.
        stacks_after_s: Seconds after which all ranks still running show their stacks, or None.
        descriptors: What each rank inherits beside its standard streams, by rank; empty for none.
        report: Descriptor of whoever asked for the job, who tells people how it ended; None means
            that the launcher does.
    """

    command: tuple[str, ...]
    size: int
    job_id: str
    rendezvous: Path
    environment: dict[str, str]
    timeline: Path | None = None
    log_dir: Path | None = None
    is_horovod: bool = False
    is_tagged: bool = True
    grace_s: float = 3.0
    is_verbose: bool = False
    stacks_after_s: float | None = None
    descriptors: tuple[tuple[int, ...], ...] = ()
    report: int | None = None

    def rank_log_dir(self, rank: int) -> Path | None:
        """Name the directory of one rank's output; None without `log_dir`."""
        if self.log_dir is None:
            return None
        width = max(2, len(str(self.size - 1)))
        return self.log_dir / f"rank.{rank:0{width}d}"
