"""NCCL through CuPy on one device: one rank, and two where the NCCL that is found allows it.

Run in a process of its own and under a time limit: ranks that share a device may wait for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from bench.device.parts import Row
from bench.device.timing import Stopwatch

_SHARED_DEVICE = 23000  # the first version whose ranks may share a device
_MIB = 2**20
# Read by NCCL when it is loaded. Ranks that share a device share its multiprocessors too.
SETTINGS = {
    "NCCL_MULTI_RANK_GPU_ENABLE": "1",
    "NCCL_MAX_CTAS": "4",
    "NCCL_NVLS_ENABLE": "0",
    "CUDA_MODULE_LOADING": "EAGER",
}


def measure_nccl(watch: Stopwatch, ranks: int) -> Iterator[Row]:
    """Allreduce in place, of one rank or of two."""
    if ranks > 1:
        os.environ.update(SETTINGS)
    try:
        import cupy  # noqa: PLC0415 - after the settings
        from cupy.cuda import nccl  # noqa: PLC0415
    except ImportError as error:
        yield {"ranks": ranks, "failed": f"no NCCL through CuPy: {error}"}
        return
    version = nccl.get_version()
    if ranks > 1 and version < _SHARED_DEVICE:
        reason = f"NCCL {version} is older than {_SHARED_DEVICE}: one rank a device"
        yield {"ranks": ranks, "failed": reason}
        return
    communicators = nccl.NcclCommunicator.initAll([0] * ranks)
    streams = [watch.stream, *(watch.plugin.create_stream() for _ in range(ranks - 1))]
    for size_mib in (1, 16, 64, 256):
        count = size_mib * _MIB // 4
        arrays = [cupy.ones(count, cupy.float32) for _ in range(ranks)]
        cupy.cuda.Device().synchronize()

        def run(_: int, arrays: list[Any] = arrays, count: int = count) -> None:
            nccl.groupStart()
            for communicator, array, stream in zip(communicators, arrays, streams, strict=True):
                address = array.data.ptr
                communicator.allReduce(
                    address, address, count, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream
                )
            nccl.groupEnd()

        found = watch.time(run, 20)
        yield {
            "ranks": ranks,
            "MiB": size_mib,
            "us": found.device_us,
            "host us": found.host_us,
            "NCCL": version,
        }
