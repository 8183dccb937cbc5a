"""Horovod's exceptions."""

from ringsync.torch.errors import (
    HorovodInternalError,
    HorovodVersionMismatchError,
    HostsUpdatedInterrupt,
)
