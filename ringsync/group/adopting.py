"""How a group comes to use a communicator of NCCL's that its ranks have made themselves."""

from __future__ import annotations

from ringsync.device_arrays import communicator_of
from ringsync.group.process_group import ProcessGroup, number_of
from ringsync.runtime import current


def adopt_nccl(communicator: object, *, group: ProcessGroup | None = None) -> None:
    """Have a group use a communicator of CuPy's for arrays on devices, in place of one of its own.

    Every rank of the group calls this with its end of one communicator, before the group's first
    large array on a device; nobody waits for anybody. Whether all have done so is seen with that
    array: if not, rank 0 of the group tells it in one line, and the group goes without NCCL.

    Its owner may go on using the communicator while nothing of the group's is in flight. ringsync
    keeps the object until `shutdown`, and never ends what it stands for. So after an error, or when
    a rank has died, what waits in NCCL or on the device is left there until its owner calls
    `abort()`.

    Args:
        communicator: A `cupy.cuda.nccl.NcclCommunicator` of as many ranks as the group, this one
            under the same number, on the device of its arrays. It must not be destroyed before
            the group is closed, or `shutdown` has returned.
        group: The group; None means all ranks.

    Raises:
        ConfigError: It is no such communicator, was made by another copy of NCCL than ringsync
            uses, is another rank's, or on another device; or the group or another one has adopted
            one already, or has had a large array on a device, or is closed; or `RINGSYNC_NCCL` is
            off.
        NotInitializedError: `init` has not been called, or the group's engine has been shut down.

    Cost: Nothing is sent.

    Example:
        >>> from cupy.cuda import nccl
        >>> unique_id = broadcast_object(nccl.get_unique_id() if rank() == 0 else None)
        >>> adopt_nccl(nccl.NcclCommunicator(size(), unique_id, rank()))
    """
    number = number_of("adopt_nccl", group)
    address, maker = communicator_of(communicator)
    runtime = current()
    runtime.engine.adopt_nccl(number, address, maker)
    runtime.adopted.append(communicator)
