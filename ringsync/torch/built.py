"""What Horovod's builds differ in, asked by its names; there is one build of ringsync.

What of ringsync itself was built, `ringsync info` tells.
"""

from __future__ import annotations

from ringsync.runtime import is_cuda_built


def mpi_threads_supported() -> bool:
    """Tell whether MPI may be called from several threads.

    Returns:
        Nothing.

    Raises:
        ValueError: Always: there is no MPI.
    """
    raise ValueError("Horovod MPI is not enabled; ringsync does not use it here.")


def mpi_enabled() -> bool:
    """Tell whether MPI is in use.

    Returns:
        False.
    """
    return False


def mpi_built() -> bool:
    """Tell whether MPI was built in.

    Returns:
        False.
    """
    return False


def gloo_enabled() -> bool:
    """Tell whether ranks meet without MPI, which scripts know under this name.

    Returns:
        True.
    """
    return True


def gloo_built() -> bool:
    """Tell whether ranks can meet without MPI.

    Returns:
        True.
    """
    return True


def nccl_built() -> int:
    """Tell the version of NCCL that was built in.

    Scripts scale by the local size where Adasum is preceded by NCCL's sum over a host, and here it
    never is.

    Returns:
        0: none. Whether a job uses one that it finds, RINGSYNC_NCCL decides.
    """
    return 0


def ddl_built() -> bool:
    """Tell whether IBM's DDL was built in.

    Returns:
        False.
    """
    return False


def ccl_built() -> bool:
    """Tell whether Intel's oneCCL was built in.

    Returns:
        False.
    """
    return False


def cuda_built() -> bool:
    """Tell whether CUDA was built in.

    Returns:
        True where the plug-in for NVIDIA GPUs was built; whether there is one, torch tells.
    """
    return is_cuda_built()


def rocm_built() -> bool:
    """Tell whether ROCm was built in.

    Returns:
        False.
    """
    return False
