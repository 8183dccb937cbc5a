"""The collectives' way through the door, to the engine.

Ordinary arguments go through as they are, because a small allreduce takes no longer than a few
checks. What the door refuses is looked at here: it is made ordinary, or one sentence says what is
wrong with it. What each collective asks of its arrays is its own file's matter.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator
from typing import SupportsIndex

from ringsync._native import RefusedError
from ringsync._native import Terms as Terms  # noqa: PLC0414  other rooms name it too
from ringsync.arrays import Array, as_native, as_source, as_target
from ringsync.errors import ConfigError, MismatchError, RingsyncError
from ringsync.group import ProcessGroup, number_of, ranks_of
from ringsync.handle import GroupedHandle, Handle
from ringsync.kinds import Collective
from ringsync.runtime import current
from ringsync.seconds import checked_seconds
from ringsync.words import in_line

# Nothing but what every call asks for: all ranks take part, and rank 0 gives, if one does.
PLAIN = Terms()


def run(
    place: str,
    collective: int,
    x: object,
    name: str | None,
    timeout_s: float | None,
    terms: Terms = PLAIN,
    group: ProcessGroup | None = None,
) -> Array:
    """Perform a call on this thread.

    Args:
        place: The public function's name, for messages.
        collective: Which, of `Collective`.
        x: What moves; None for a barrier.
        name: As the caller gave it.
        timeout_s: As the caller gave it.
        terms: What else is asked for.
        group: As the caller gave it.

    Returns:
        `x` as an array, or the array that the collective makes.

    Raises:
        RingsyncError: What the public function's docstring lists.
    """
    engine, number = current().engine, number_of(place, group)
    try:
        return engine.run(collective, x, place, name, timeout_s, terms, number)
    except RefusedError:
        pass  # what follows is no failure of the refusal's
    key = _key(place, name, timeout_s)  # first: `x` may be what the door takes, and nobody else
    return engine.run(collective, _array(place, collective, x), place, *key, terms, number)


def start(
    place: str,
    collective: int,
    x: object,
    name: str | None,
    timeout_s: float | None,
    terms: Terms = PLAIN,
    group: ProcessGroup | None = None,
) -> Handle:
    """Hand a call to the engine's thread.

    Args:
        place: As for `run`.
        collective: As for `run`.
        x: As for `run`.
        name: As for `run`.
        timeout_s: As for `run`.
        terms: As for `run`.
        group: As for `run`.

    Returns:
        Its handle.

    Raises:
        DuplicateNameError: An operation of this name is in flight.
        ConfigError: The request is impossible whatever the other ranks ask for.
    """
    engine, number = current().engine, number_of(place, group)
    try:
        return engine.submit(Handle, collective, x, place, name, timeout_s, terms, number)
    except RefusedError:
        pass
    key = _key(place, name, timeout_s)
    array = _array(place, collective, x)
    return engine.submit(Handle, collective, array, place, *key, terms, number)


def run_all(
    place: str,
    collective: int,
    xs: list[object],
    name: str | None,
    timeout_s: float | None,
    terms: Terms,
    group: ProcessGroup | None,
) -> list[Array]:
    """Perform a call on each of `xs` and wait for all.

    Args:
        place: As for `run`.
        collective: As for `run`.
        xs: What moves.
        name: As for `run`; array number i is named `name.i`.
        timeout_s: As for `run`.
        terms: As for `run`.
        group: As for `run`.

    Returns:
        `xs` as arrays.

    Raises:
        RingsyncError: What the public function's docstring lists.
    """
    engine, number = current().engine, number_of(place, group)
    try:
        return engine.run_all(collective, xs, place, name, timeout_s, terms, number)
    except RefusedError:
        pass
    key = _key(place, name, timeout_s)
    arrays = [_array(f"{place}: array {i}", collective, x) for i, x in enumerate(xs)]
    return engine.run_all(collective, arrays, place, *key, terms, number)


def start_all(
    place: str,
    collective: int,
    xs: list[object],
    name: str | None,
    timeout_s: float | None,
    terms: Terms,
    group: ProcessGroup | None,
) -> GroupedHandle:
    """Hand a call on each of `xs` to the engine's thread, in one stroke.

    Args:
        place: As for `run`.
        collective: As for `run`.
        xs: As for `run_all`.
        name: As for `run_all`.
        timeout_s: As for `run`.
        terms: As for `run`.
        group: As for `run`.

    Returns:
        One handle for all.

    Raises:
        DuplicateNameError: An operation of one of the names is in flight; none was submitted.
        ConfigError: A request is impossible whatever the other ranks ask for.
    """
    engine, number = current().engine, number_of(place, group)
    try:
        return engine.submit_all(
            GroupedHandle, collective, xs, place, name, timeout_s, terms, number
        )
    except RefusedError:
        pass
    key = _key(place, name, timeout_s)
    arrays = [_array(f"{place}: array {i}", collective, x) for i, x in enumerate(xs)]
    return engine.submit_all(GroupedHandle, collective, arrays, place, *key, terms, number)


def rooted(place: str, root: int, group: ProcessGroup | None) -> Terms:
    """Check the rank that gives.

    Args:
        place: The public function's name, for messages.
        root: As the caller gave it.
        group: As the caller gave it.

    Returns:
        The terms of the call.

    Raises:
        ConfigError: There is no such rank, or it is not in the group.
    """
    number = check_root(place, root, group)
    return Terms(root=number) if number else PLAIN


def check_root(place: str, root: int, group: ProcessGroup | None) -> int:
    """Check the rank that gives, for calls that are made of several.

    Args:
        place: As for `rooted`.
        root: As for `rooted`.
        group: As for `rooted`.

    Returns:
        Its number in the world.

    Raises:
        ConfigError: There is no such rank, or it is not in the group.
    """
    ranks = ranks_of(place, group)
    number = rank_number(root)
    if number not in ranks:
        whole = f"no rank of this world; 0 <= root < {len(ranks)} is expected. Name one of them."
        some = (
            f"not in {group}; one of its ranks, by its number in the world, is expected. Name it."
        )
        raise ConfigError(f"[{place}] root={in_line(root)} is {some if group else whole}")
    return number


def rank_number(given: object) -> int:
    """Read a rank's number.

    Args:
        given: As the caller gave it.

    Returns:
        The same as an int; -1, which is no rank's number, of what is no whole number, or a bool.
    """
    if isinstance(given, bool) or not isinstance(given, SupportsIndex):
        return -1
    try:
        return operator.index(given)
    except TypeError:  # an array of several numbers
        return -1


@contextlib.contextmanager
def told_as(place: str, *others: type[RingsyncError]) -> Iterator[None]:
    """Let what ranks disagree on in here bear the name of the call that the user made.

    The engine compares collectives, and knows no function that is made of several.

    Args:
        place: The public function's name, for messages.
        others: What ranks find out together in here besides what they disagree on.

    Raises:
        RingsyncError: The one of these kinds that was raised, under this name.
    """
    found: tuple[type[RingsyncError], ...] = (MismatchError, *others)
    try:
        yield
    except found as error:
        text = str(error).partition("] ")[2]
        raise type(error)(f"[{place}] {text}").with_traceback(error.__traceback__) from None


def _array(place: str, collective: int, x: object) -> object:
    if collective == Collective.BARRIER:
        return None
    is_target = collective in (Collective.ALLREDUCE, Collective.BROADCAST, Collective.JOIN)
    return as_native(as_target(x, place) if is_target else as_source(x, place))


def _key(place: str, name: str | None, timeout_s: float | None) -> tuple[str | None, float | None]:
    if name is not None:
        _check_name(place, name)
    return name, None if timeout_s is None else checked_seconds(place, timeout_s)


def _check_name(place: str, name: str) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"[{place}] name={in_line(name)}; text is expected. Pass str(name).")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"[{place}] name={in_line(name)} holds half of a character; text is expected. Correct "
            "it."
        ) from None
