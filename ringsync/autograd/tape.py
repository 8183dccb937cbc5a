"""The recorded graph and its backward pass.

Not for tensors' own affairs: how a leaf keeps its gradient, and whom it tells, is left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ringsync.autograd.primitive import Array, Primitive
from ringsync.autograd.recording import next_order
from ringsync.errors import MismatchError
from ringsync.namespaces import as_array


class PassObserver(Protocol):
    """What a backward pass as a whole tells to whoever watches one of its leaves."""

    def backward_began(self) -> None:
        """Hear once per pass that reaches a watched leaf, before any gradient is computed."""

    def backward_ended(self) -> None:
        """Hear once that the whole pass is over; not called when it failed."""


class Leaf(Protocol):
    """What the pass needs of a tensor at the edge of the graph."""

    @property
    def observer(self) -> PassObserver | None:
        """Who watches this leaf."""

    def add_gradient(self, gradient: Array, *, is_fresh: bool) -> None:
        """Take one contribution; a fresh one belongs to nobody else and may be kept."""

    def announce_final(self) -> None:
        """The last contribution of this pass has been added."""


class Node:
    """One recorded operation: its rule, the arrays its gradients need, and where they go.

    Attributes:
        order: Larger than that of everything that ran before.
        parents: For each input the node or leaf its gradient goes to, or None.
    """

    __slots__ = ("_arrays", "_options", "_output", "_rule", "order", "parents")

    def __init__(
        self,
        rule: Primitive,
        arrays: tuple[Array, ...],
        options: Mapping[str, object],
        output: Array,
        parents: tuple[Node | Leaf | None, ...],
    ) -> None:
        """Record that `rule` made `output` of `arrays`."""
        self._rule, self._arrays, self._options = rule, arrays, options
        self._output: Array | None = output
        self.parents = parents
        after = max((one.order for one in parents if isinstance(one, Node)), default=0)
        self.order: int = next_order(after)

    @property
    def name(self) -> str:
        """The rule's name."""
        return self._rule.name

    @property
    def is_released(self) -> bool:
        """Whether a pass has been through and the arrays are gone."""
        return self._output is None

    def gradient_of(self, position: int, gradient: Array) -> tuple[Array, bool]:
        """The contribution to the input at `position`, and whether nobody else holds its memory."""
        vjp = self._rule.vjps[position]
        if vjp is None:
            raise MismatchError(f"[{self.name}] has no gradient for input {position}.")
        result = as_array(vjp(gradient, self._output, *self._arrays, **self._options))
        given = (gradient, self._output, *self._arrays)
        is_fresh = result.flags.owndata and all(result is not one for one in given)
        return result, is_fresh

    def release(self) -> None:
        """Let go of everything; the node remains only to say that it was used."""
        self._arrays, self._options, self._output, self.parents = (), {}, None, ()


def backward_pass(root: Node, gradient: Array) -> None:
    """Send `gradient` of `root`'s output back to every leaf, in the reverse order of execution.

    Each leaf hears that its gradient is final right after its last contribution, while the pass
    goes on; each node lets go of its memory as soon as it has been passed.

    Args:
        root: The node whose output is differentiated.
        gradient: Of some scalar by that output; same shape.

    Raises:
        MismatchError: Part of the graph has been used by an earlier pass.

    Cost: every vector-Jacobian product once; O(nodes log nodes) to put them in order.
    """
    nodes, awaited = _survey(root)
    observers = {id(leaf.observer): leaf.observer for leaf in awaited}
    for observer in observers.values():
        if observer is not None:
            observer.backward_began()
    # Of each node still ahead: its gradient so far, and whether that memory is the pass's own.
    pending = {root: (gradient, False)}
    for node in nodes:
        own, _ = pending.pop(node)
        # Reversed: parameters come after the input, and theirs should be final first.
        for position, parent in reversed(tuple(enumerate(node.parents))):
            if parent is None:
                continue
            part, is_fresh = node.gradient_of(position, own)
            if isinstance(parent, Node):
                pending[parent] = _added(pending.get(parent), part, is_fresh)
                continue
            parent.add_gradient(part, is_fresh=is_fresh)
            awaited[parent] -= 1
            if awaited[parent] == 0:
                parent.announce_final()
        node.release()
    for observer in observers.values():
        if observer is not None:
            observer.backward_ended()


def _survey(root: Node) -> tuple[list[Node], dict[Leaf, int]]:
    """All nodes behind `root`, last executed first, and how often the pass will reach each leaf."""
    seen, awaited, frontier = {root}, dict[Leaf, int](), [root]
    while frontier:
        node = frontier.pop()
        if node.is_released:
            raise MismatchError(
                f"[backward] the graph behind {root.name!r} was used by an earlier backward and its"
                " memory is gone; a graph serves one backward. Compute the loss again, or add the"
                " losses and call backward once."
            )
        for parent in node.parents:
            if isinstance(parent, Node):
                if parent not in seen:
                    seen.add(parent)
                    frontier.append(parent)
            elif parent is not None:
                awaited[parent] = awaited.get(parent, 0) + 1
    return sorted(seen, key=lambda node: node.order, reverse=True), awaited


def _added(before: tuple[Array, bool] | None, part: Array, is_fresh: bool) -> tuple[Array, bool]:
    if before is None:
        return part, is_fresh
    total, is_own = before
    if is_own and total.dtype == part.dtype:
        total += part
        return total, True
    return as_array(total + part), True
