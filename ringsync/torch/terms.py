"""What wrapped optimizers have to be told alike on all ranks; a sentence when they were not."""

from __future__ import annotations

from dataclasses import dataclass

from ringsync.collectives import ReduceOp
from ringsync.collectives.call import told_as
from ringsync.errors import MismatchError
from ringsync.objects import allgather_object
from ringsync.torch.compression import Compressor
from ringsync.torch.process_sets import ProcessSet, group_of


@dataclass(frozen=True, slots=True)
class Terms:
    """How gradients are exchanged.

    Attributes:
        op: How several become one.
        compression: Form in which they travel.
        predivide_factor: What they are divided by before, and multiplied by after, being added up.
        sparse_as_dense: Sparse ones are made dense first.
        process_set: Whose ranks exchange.
    """

    op: ReduceOp
    compression: type[Compressor]
    predivide_factor: float
    sparse_as_dense: bool
    process_set: ProcessSet


def check_equal_terms(terms: Terms, name: str) -> None:
    """Compare terms over the ranks that exchange; unlike ones would wait for unlike things.

    Args:
        terms: This rank's.
        name: Of the set of parameters, equal on all ranks.

    Raises:
        MismatchError: They differ; on every rank alike.
        PeerLostError: A rank died.
        TimedOutError: A rank did not take part.
    """
    # A class has a name of its own, an instance that compresses may have an address in its repr.
    form = terms.compression if isinstance(terms.compression, type) else type(terms.compression)
    own = {
        "op": terms.op.name,
        "compression": form.__qualname__,
        "gradient_predivide_factor": terms.predivide_factor,
        "sparse_as_dense": bool(terms.sparse_as_dense),
    }
    group = group_of("DistributedOptimizer", terms.process_set)
    with told_as(name):
        told = allgather_object(own, name=f"{name}.terms", group=group)
    ranks = range(len(told)) if group is None else group.ranks
    for rank, found in zip(ranks, told, strict=True):
        for word, value in found.items():
            if value != told[0][word]:
                raise MismatchError(
                    f"[{name}] rank {rank} has {word}={value}, rank {ranks[0]} has "
                    f"{word}={told[0][word]}. Make the DistributedOptimizer alike on all ranks."
                )
