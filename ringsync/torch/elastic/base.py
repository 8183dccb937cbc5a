"""What a run can go back to: kept in memory at a commit, and made equal on all ranks."""

from __future__ import annotations

import copy
import queue
from collections.abc import Callable, Iterable
from enum import IntFlag
from typing import TYPE_CHECKING, Any

from ringsync.torch.elastic.restorable import Restorable
from ringsync.torch.errors import HostsUpdatedInterrupt


class HostUpdateResult(IntFlag):
    """How the hosts of a job have changed."""

    no_update = 0
    removed = 1
    added = 2
    mixed = removed | added


class State(Restorable):
    """What `run` keeps; a subclass says what it consists of."""

    def __init__(self, bcast_object: Callable[[Any], Any], get_rank: Callable[[], int]) -> None:
        """Begin with no news of hosts.

        Args:
            bcast_object: Returns rank 0's argument on every rank.
            get_rank: Returns this rank.
        """
        self._bcast_object = bcast_object
        self._rank = get_rank
        self._host_messages: queue.Queue[tuple[float, HostUpdateResult]] = queue.Queue()
        self._last_updated_timestamp = 0.0
        self._reset_callbacks: list[Callable[[], object]] = []

    def register_reset_callbacks(self, callbacks: Iterable[Callable[[], object]]) -> None:
        """Have functions called whenever the ranks have met anew, before the state is exchanged.

        Args:
            callbacks: Called in order, without arguments; those registered earlier come first.
        """
        self._reset_callbacks.extend(callbacks)

    def on_reset(self) -> None:
        """Adapt to a new world: forget news of the old one, reset, and call the callbacks."""
        self._host_messages = queue.Queue()
        self.reset()
        for callback in self._reset_callbacks:
            callback()

    def on_hosts_updated(self, timestamp: float, update_res: HostUpdateResult) -> None:
        """Note that hosts have changed; any thread may call this.

        Args:
            timestamp: When; what is not later than the last that was acted on is ignored.
            update_res: How.
        """
        self._host_messages.put((timestamp, update_res))

    def commit(self) -> None:
        """Keep the present state, then look whether hosts have changed.

        Raises:
            HostsUpdatedInterrupt: As for `check_host_updates`.
        """
        self.save()
        self.check_host_updates()

    def check_host_updates(self) -> None:
        """Let `run` start anew if rank 0 knows that hosts have changed; all ranks call this.

        Raises:
            HostsUpdatedInterrupt: They have; on every rank alike.
            HorovodInternalError: A rank died.
        """
        before = last = self._last_updated_timestamp
        changes = HostUpdateResult.no_update
        while not self._host_messages.empty():
            timestamp, change = self._host_messages.get()
            if timestamp > last:
                last = timestamp
                changes |= change
        # News arrive at different times; rank 0's decide, so that all ranks stop at the same call.
        before, last, changes = self._bcast_object((before, last, changes))
        self._last_updated_timestamp = last
        if last > before:
            # Those that stay are equal already when none has come.
            raise HostsUpdatedInterrupt(changes == HostUpdateResult.removed)


class ObjectState(State):
    """Plain objects, each an attribute of the state: `state.epoch`."""

    def __init__(
        self, bcast_object: Callable[[Any], Any], get_rank: Callable[[], int], **kwargs: Any
    ) -> None:
        """Take the objects as they are, and keep a copy.

        Args:
            bcast_object: As for `State`.
            get_rank: As for `State`.
            **kwargs: The objects by name; anything that can be pickled.
        """
        super().__init__(bcast_object, get_rank)
        self._names = tuple(kwargs)
        for name, value in kwargs.items():
            setattr(self, name, value)
        self._saved_state = copy.deepcopy(kwargs)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Allow for the attributes that only their giver knows."""

    def save(self) -> None:
        """Keep a copy of the objects, so that what is done to them later can be undone."""
        self._saved_state = copy.deepcopy(self._values())

    def restore(self) -> None:
        """Put copies of what was saved last in the place of the objects."""
        for name, value in copy.deepcopy(self._saved_state).items():
            setattr(self, name, value)

    def sync(self) -> None:
        """Give every rank the objects of rank 0, and keep them.

        Raises:
            HorovodInternalError: A rank died.
        """
        if self._names:
            for name, value in self._bcast_object(self._values()).items():
                setattr(self, name, value)
        ObjectState.save(self)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}
