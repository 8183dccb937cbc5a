"""Types of the native core; native/bindings/ is what they describe."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Store:
    def set(self, key: str, value: bytes) -> None: ...
    def get(self, key: str, timeout_s: float) -> bytes: ...
    def add(self, key: str, amount: int) -> int: ...
    def remove(self, key: str) -> bool: ...

def memory_store() -> Store: ...
def meet(directory: str, rank: int, size: int, timeout_s: float) -> Store: ...

class Handle:
    def done(self) -> bool: ...
    def wait(self, timeout_s: float | None = None) -> bool: ...
    def check(self) -> None: ...
    def result(self, item_bytes: int) -> tuple[NDArray[np.uint8], list[int]]: ...
    def times(self) -> tuple[int, int, int, int]: ...

class Details:
    def __init__(
        self,
        splits: tuple[int, ...] = (),
        dtype: int = -1,
        prescale: float = 1.0,
        postscale: float = 1.0,
        peer: int = -1,
    ) -> None: ...

class Engine:
    def __init__(
        self,
        store: Store,
        rank: int,
        size: int,
        transport: str,
        algorithm: str = "",
        caller_spin_us: float = 0.0,
        engine_spin_us: float = 0.0,
        timeout_s: float = 30.0,
    ) -> None: ...
    def submit(
        self,
        collective: int,
        array: NDArray[Any] | None,
        name: str,
        is_named: bool,
        op: int,
        root: int,
        timeout_s: float,
        details: Details | None = None,
    ) -> Handle: ...
    def submit_all(
        self,
        collective: int,
        arrays: Sequence[NDArray[Any]],
        name: str,
        is_named: bool,
        op: int,
        root: int,
        timeout_s: float,
        details: Sequence[Details],
    ) -> list[Handle]: ...
    def call_all(
        self,
        collective: int,
        arrays: Sequence[NDArray[Any]],
        name: str,
        is_named: bool,
        op: int,
        root: int,
        timeout_s: float,
        details: Sequence[Details],
    ) -> list[Handle]: ...
    def call(
        self,
        collective: int,
        array: NDArray[Any] | None,
        name: str,
        is_named: bool,
        op: int,
        root: int,
        timeout_s: float,
        details: Details | None = None,
    ) -> Handle: ...
    def run(
        self,
        collective: int,
        array: NDArray[Any] | None,
        name: str,
        is_named: bool,
        op: int,
        root: int,
        timeout_s: float,
        details: Details | None = None,
    ) -> Handle | None: ...
    def allocate(self, size_bytes: int) -> NDArray[np.uint8]: ...
    def shutdown(self, cause: str) -> None: ...
    def start_events(self) -> None: ...
    def stop_events(self) -> None: ...
    def take_events(self) -> list[tuple[str, str, int, int, str, int]]: ...
    def dropped_events(self) -> int: ...
    def record_event(
        self, lane: str, name: str, start_ns: int, end_ns: int, tensor: str, size_bytes: int
    ) -> None: ...

def transport_names() -> list[str]: ...

class Problem:
    def __init__(
        self,
        collective: int,
        counts: Sequence[int],
        root: int = 0,
        is_in_place: bool = False,
        is_readable: bool = False,
        row_elements: int = 1,
    ) -> None: ...

def algorithm_names() -> list[str]: ...
def applies(algorithm: str, problem: Problem) -> bool: ...
def choose(problem: Problem) -> str: ...
def cost_elements(algorithm: str, problem: Problem) -> int: ...
def find_race(algorithm: str, problem: Problem) -> str: ...
def simulate(
    algorithm: str,
    problem: Problem,
    inputs: Sequence[NDArray[Any]],
    divisor: int,
    segment_bytes: int,
    seed: int,
) -> tuple[list[NDArray[np.uint8]], list[int]]: ...
def assign_buckets(sizes_bytes: Sequence[int], limit_bytes: int, least: int) -> list[list[int]]: ...
def kernel_names() -> list[str]: ...
def reduce_with(
    kernel: str,
    inputs: Sequence[NDArray[Any]],
    op: int,
    factor: float = 1.0,
    divisor: int = 1,
    destinations: int = 1,
    dtype: int = -1,
) -> list[NDArray[np.uint8]]: ...
