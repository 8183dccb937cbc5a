"""How fast many tensors at once are summed: the gradients of ResNet-50 and BERT, and tiny ones.

`python -m bench.fusion --np 2 --shapes resnet50,bert,small --peers openmpi,mpich,impi`. One array
by size is bench.allreduce's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.ceilings.entry import ceiling_entries
from bench.command import add_ceilings, add_peers, make_parser, names, run_command, whole
from bench.contest import Case, Contender, run_contest
from bench.entrants import PEERS, own_contenders, peer_contenders
from bench.machine import cpu_name
from bench.ratios import BEST_PEER, GLOO, HOROVOD, Reference
from bench.record import write_record
from bench.scores import format_scores, with_ratios
from bench.series import Fact
from bench.shapes import SHAPES
from ringsync.runtime import assign_buckets

_ITEM_BYTES = 4
_MIB = 2**20
# As the reducer cuts its arena, in whole gradients: RINGSYNC_BUCKET_MIB's default, three at least.
_ARENA_BUCKET_BYTES = 8 * _MIB
_LEAST_ARENA_BUCKETS = 3
_MOST_SAMPLES, _LEAST_SAMPLES = 50, 7
_BYTES_PER_TURN = 1024 * _MIB  # BERT then has seven samples a turn, ResNet ten

_MEMORIES = ("registered", "private")

# How ringsync's contenders differ: where arrays lie, and which call of ranks/workloads.py.
_OWN_MODES = (
    ("arena", "registered", "posted"),
    ("loose", "private", "posted"),
    ("grouped", "private", "grouped"),
)


def measure(words: Sequence[str]) -> int:
    """Measure and print.

    Args:
        words: The command line without the program's name.

    Returns:
        0; 1 if any of ringsync's values was wrong.

    Raises:
        SystemExit: The command line cannot be used (2), or a rank failed.
    """
    parser = make_parser("bench.fusion", "Many float32 tensors at once, Sum, by model.")
    parser.add_argument(
        "--shapes",
        type=lambda text: names(text, tuple(SHAPES)),
        default=tuple(SHAPES),
        metavar="NAMES",
        help=f"({','.join(SHAPES)})",
    )
    parser.add_argument("--repeat", type=whole, default=0, metavar="N", help="samples a turn")
    add_peers(parser, list(PEERS))
    add_ceilings(parser)
    chosen = parser.parse_args(words)
    entries = [
        *_own_entries(chosen.np, chosen.shapes, chosen.repeat),
        *_peer_entries(
            peer_contenders(chosen.peers, chosen.peer_python, chosen.np),
            chosen.shapes,
            chosen.repeat,
        ),
    ]
    if chosen.ceilings:
        entries += ceiling_entries(
            [_as_one(shape, chosen.repeat) for shape in chosen.shapes], _MEMORIES, chosen.np
        )
    series = with_ratios(run_contest(entries, chosen.np, chosen.rounds), REFERENCES)
    print(f"# many tensors, float32, Sum, {chosen.np} ranks on {cpu_name()}")
    print(f"# medians of {chosen.rounds} rounds in which all take turns; ratio < 1: less time")
    print(format_scores(series, markdown=chosen.markdown, references=REFERENCES))
    if chosen.json is not None:
        write_record(chosen.json, "fusion", series)
    return int(any(one.facts["wrong"] for one in series if one.facts["kind"] == "ringsync"))


def _is_open_mpi(facts: Mapping[str, Fact], workload: str) -> bool:
    return facts["family"] == "openmpi" and facts["workload"] == workload


# Of Open MPI as it comes and tuned, the better one counts.
REFERENCES = (
    Reference("openmpi by tensor", lambda facts: _is_open_mpi(facts, "by-tensor")),
    Reference("openmpi in buckets", lambda facts: _is_open_mpi(facts, "in-buckets")),
    BEST_PEER,
    GLOO,
    HOROVOD,
)


def arena_counts(counts: Sequence[int]) -> tuple[int, ...]:
    """Cut an arena that holds all gradients into buckets.

    Args:
        counts: Elements of each gradient.

    Returns:
        Elements of each bucket.
    """
    sizes_bytes = [count * _ITEM_BYTES for count in counts]
    buckets = assign_buckets(sizes_bytes, _ARENA_BUCKET_BYTES, _LEAST_ARENA_BUCKETS)
    return tuple(sum(counts[i] for i in bucket) for bucket in buckets)


def _own_entries(
    size: int, shapes: Sequence[str], repeat: int
) -> list[tuple[Contender, Sequence[Case]]]:
    entries: list[tuple[Contender, Sequence[Case]]] = []
    for mode, memory, workload in _OWN_MODES:
        [contender] = own_contenders(size, [memory])
        cases = [_case(shape, workload, repeat) for shape in shapes]
        if mode == "arena":
            cases = [replace(one, counts=arena_counts(one.counts)) for one in cases]
        entries.append((replace(contender, name=f"ringsync-{mode}"), cases))
    return entries


def _peer_entries(
    contenders: Sequence[Contender], shapes: Sequence[str], repeat: int
) -> list[tuple[Contender, Sequence[Case]]]:
    return [
        (
            replace(contender, name=f"{contender.name} {workload}"),
            [_case(shape, workload, repeat) for shape in shapes],
        )
        for contender in contenders
        for workload in PEERS[contender.family].workloads
    ]


def _as_one(shape: str, repeat: int) -> Case:
    """What the machine allows for as many bytes in one array: no library has to do better."""
    case = _case(shape, "allreduce", repeat)
    return replace(case, counts=(sum(case.counts),))


def _case(shape: str, workload: str, repeat: int) -> Case:
    counts = SHAPES[shape]()
    fitting = _BYTES_PER_TURN // (sum(counts) * _ITEM_BYTES)
    samples = repeat or max(_LEAST_SAMPLES, min(_MOST_SAMPLES, fitting))
    return Case(shape, workload, counts, samples, 1)


if __name__ == "__main__":
    run_command(measure)
