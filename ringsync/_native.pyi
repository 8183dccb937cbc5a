"""Types of the native core; native/bindings/ is what they describe."""

from collections.abc import Callable, Sequence
from types import CellType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ringsync.errors import ConfigError

_H = TypeVar("_H", bound="Handle")

STACKS_SIGNAL: int
GAVE_UP: str

class Store:
    def set(self, key: str, value: bytes) -> None: ...
    def get(self, key: str, timeout_s: float) -> bytes: ...
    def add(self, key: str, amount: int) -> int: ...
    def remove(self, key: str) -> bool: ...

def memory_store() -> Store: ...
def meet(
    directory: str, rank: int, size: int, timeout_s: float, reply_s: float = 30.0
) -> Store: ...

class RefusedError(ConfigError): ...

class Handle:
    def _title(self) -> str: ...
    def _is_done(self) -> bool: ...
    def _wait(self, timeout_s: float | None) -> bool: ...
    def _wait_on(self, stream: int, timeout_s: float | None) -> bool: ...
    def _result(self) -> object: ...
    def _times(self) -> tuple[int, int, int, int]: ...
    def _rows_from(self) -> list[int]: ...

class Terms:
    def __init__(
        self,
        op: int = 1,
        root: int = 0,
        peer: int = -1,
        splits: tuple[int, ...] = (),
        prescale: float = 1.0,
        postscale: float = 1.0,
        codec: str = "",
        scaled_by: float = 1.0,
        step: int = 0,
    ) -> None: ...

class DeviceMemory:
    @property
    def __cuda_array_interface__(self) -> dict[str, object]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

class KeptMemory: ...

class Offer:
    def connect(self) -> int: ...
    def withdraw(self) -> None: ...

class ProcessGroup:
    def __init__(self, engine: Engine, number: int | None) -> None: ...
    def _number_in(self, engine: Engine) -> int | None: ...
    def _close(self) -> None: ...

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
        call_timeout_s: float = 30.0,
        stall_warn_s: float = ...,
        stall_abort_s: float = ...,
        device_plugin: str = "",
        has_nccl: bool = False,
        nccl_library: str = "",
        nccl_candidates: list[str] = ...,
        kept_memory: KeptMemory | None = None,
    ) -> None: ...
    # Raise RefusedError for what is not of these types.
    def run(
        self,
        collective: int,
        array: object,
        place: str,
        name: str | None,
        timeout_s: float | None,
        terms: Terms,
        group: int = 0,
    ) -> NDArray[Any]: ...
    def run_all(
        self,
        collective: int,
        arrays: list[object],
        place: str,
        name: str | None,
        timeout_s: float | None,
        terms: Terms,
        group: int = 0,
    ) -> list[NDArray[Any]]: ...
    def submit(
        self,
        handle_type: type[_H],
        collective: int,
        array: object,
        place: str,
        name: str | None,
        timeout_s: float | None,
        terms: Terms,
        group: int = 0,
    ) -> _H: ...
    def submit_all(
        self,
        handle_type: type[_H],
        collective: int,
        arrays: list[object],
        place: str,
        name: str | None,
        timeout_s: float | None,
        terms: Terms,
        group: int = 0,
    ) -> _H: ...
    def offer_group(self, name: str, ranks: list[int]) -> Offer: ...
    def allocate(self, size_bytes: int) -> NDArray[np.uint8]: ...
    def can_reach(self) -> bool: ...
    def set_reach_from(self, size_bytes: int) -> None: ...
    def stacks_fd(self) -> int: ...
    def in_flight(self) -> tuple[int, str]: ...
    def settle(self, timeout_s: float) -> bool: ...
    def adopt_nccl(self, group: int, communicator: int, maker: str) -> None: ...
    def say_last_words(self, words: str) -> None: ...
    def shutdown(self, cause: str) -> None: ...
    def start_events(self) -> None: ...
    def stop_events(self) -> None: ...
    def take_events(self) -> list[tuple[str, str, int, int, str, int]]: ...
    def dropped_events(self) -> int: ...
    def record_event(
        self, lane: str, name: str, start_ns: int, end_ns: int, tensor: str, size_bytes: int
    ) -> None: ...

class Shortcut:
    def __call__(self, *args: object, **keywords: object) -> object: ...

def make_shortcut(
    function: Callable[..., object],
    engine_cell: CellType,
    collective: int,
    op_type: type[int],
    group_type: type[ProcessGroup],
    handle_type: type[Handle] | None,
    is_list: bool,
) -> Shortcut: ...
def transport_names() -> list[str]: ...
def free_room(meminfo: str) -> int: ...

class NcclLibrary:
    def __init__(self, chosen: str, candidates: Sequence[str]) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def features(self) -> list[str]: ...
    def make_id(self) -> bytes: ...

class NcclCommunicator:
    def __init__(
        self, library: NcclLibrary, unique_id: bytes, rank: int, size: int, max_ctas: int = 0
    ) -> None: ...
    def is_ready(self) -> bool: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    # Memory is an address and a length in bytes.
    def allreduce(
        self,
        source: tuple[int, int],
        to: tuple[int, int],
        dtype: int,
        op: int,
        stream: int,
        timeout_s: float,
    ) -> None: ...
    def reduce_scatter(
        self,
        source: tuple[int, int],
        to: tuple[int, int],
        dtype: int,
        op: int,
        stream: int,
        timeout_s: float,
    ) -> None: ...
    def allgather(
        self, source: tuple[int, int], to: tuple[int, int], stream: int, timeout_s: float
    ) -> None: ...
    def broadcast(
        self, source: tuple[int, int], to: tuple[int, int], root: int, stream: int, timeout_s: float
    ) -> None: ...
    def alltoall(
        self,
        sources: Sequence[tuple[int, int]],
        to: Sequence[tuple[int, int]],
        stream: int,
        timeout_s: float,
    ) -> None: ...

def has_nccl_type(dtype: int) -> bool: ...

class Problem:
    def __init__(
        self,
        collective: int,
        counts: Sequence[int],
        root: int = 0,
        is_in_place: bool = False,
        row_elements: int = 1,
        is_narrow: bool = False,
    ) -> None: ...

def algorithm_names() -> list[str]: ...
def applies(algorithm: str, problem: Problem) -> bool: ...
def choose(problem: Problem) -> str: ...
def cost_elements(algorithm: str, problem: Problem) -> int: ...
def find_race(algorithm: str, problem: Problem) -> str: ...
def simulate(
    algorithm: str,
    problem: Problem,
    inputs: Sequence[object],
    divisor: int,
    segment_bytes: int,
    seed: int,
    is_remote: bool = False,
) -> tuple[list[NDArray[np.uint8]], list[int]]: ...
def assign_buckets(sizes_bytes: Sequence[int], limit_bytes: int, least: int) -> list[list[int]]: ...
def copy_past_caches(to: object, source: object, kernel: str = "") -> None: ...
def count_devices(path: str) -> tuple[int, str]: ...
def kernel_names() -> list[str]: ...
def plugin_path(kind: str) -> str: ...
def reduce_with(
    kernel: str,
    inputs: Sequence[object],
    op: int,
    factor: float = 1.0,
    divisor: int = 1,
    destinations: int = 1,
) -> list[NDArray[np.uint8]]: ...
