"""Compressors: what a floating tensor becomes for an allreduce, and how it is restored.

A compressor is a class and is never made: `DistributedOptimizer(compression=MyCompressor)`.
"""

from __future__ import annotations

from typing import Any

import torch

from ringsync.words import in_line


class Compressor:
    """What `compression=` expects; subclass it for a form of your own."""

    @staticmethod
    def compress(tensor: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return the form that travels.

        Args:
            tensor: What is to be reduced; it is not written.

        Returns:
            The tensor to reduce instead, and whatever `decompress` needs to undo this.

        Raises:
            NotImplementedError: The subclass lacks it.
        """
        raise NotImplementedError("[Compressor] compress is missing. Define it as a staticmethod.")

    @staticmethod
    def decompress(tensor: torch.Tensor, ctx: Any) -> torch.Tensor:
        """Restore what has travelled.

        Args:
            tensor: The reduced form.
            ctx: What `compress` gave beside it.

        Returns:
            A tensor of the dtype that went into `compress`.

        Raises:
            NotImplementedError: The subclass lacks it.
        """
        raise NotImplementedError(
            "[Compressor] decompress is missing. Define it as a staticmethod."
        )


class NoneCompressor(Compressor):
    """Leaves tensors as they are."""

    @staticmethod
    def compress(tensor: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return `tensor` itself.

        Args:
            tensor: Any.

        Returns:
            `tensor`, and nothing to remember.
        """
        return tensor, None

    @staticmethod
    def decompress(tensor: torch.Tensor, ctx: Any) -> torch.Tensor:  # noqa: ARG004  the form of all
        """Return `tensor` itself.

        Args:
            tensor: Any.
            ctx: Ignored.

        Returns:
            `tensor`.
        """
        return tensor


class _CastCompressor(Compressor):
    """Rounds floating tensors to `wire_dtype`, and leaves others as they are."""

    wire_dtype: torch.dtype

    @classmethod
    def compress(cls, tensor: torch.Tensor) -> tuple[torch.Tensor, torch.dtype]:
        """Round a floating tensor.

        Args:
            tensor: Any.

        Returns:
            The rounded tensor, or `tensor` itself; and the dtype of `tensor`.
        """
        rounded = tensor.to(cls.wire_dtype) if tensor.dtype.is_floating_point else tensor
        return rounded, tensor.dtype

    @staticmethod
    def decompress(tensor: torch.Tensor, ctx: torch.dtype) -> torch.Tensor:
        """Restore the dtype.

        Args:
            tensor: The reduced form.
            ctx: The dtype that went into `compress`.

        Returns:
            `tensor` in that dtype.
        """
        return tensor.to(ctx) if ctx.is_floating_point else tensor


class FP16Compressor(_CastCompressor):
    """Rounds to float16: 11 bits of significand, and sums beyond 65504 become infinite."""

    wire_dtype = torch.float16


class BF16Compressor(_CastCompressor):
    """Rounds to bfloat16: 8 bits of significand, and float32's range, so that no sum overflows."""

    wire_dtype = torch.bfloat16


class Compression:
    """The compressors at hand.

    Attributes:
        none: Tensors travel as they are; the default.
        fp16: Floating tensors travel as float16.
        bf16: Floating tensors travel as bfloat16; ringsync's own addition.
    """

    none = NoneCompressor
    fp16 = FP16Compressor
    bf16 = BF16Compressor


def check_compression(place: str, compression: object) -> None:
    """Check the form in which tensors travel.

    Args:
        place: The public function's name, for messages.
        compression: As the caller gave it.

    Raises:
        ValueError: It compresses nothing.
    """
    parts = (getattr(compression, part, None) for part in ("compress", "decompress"))
    if not all(map(callable, parts)):
        raise ValueError(
            f"[{place}] compression={in_line(compression)} cannot compress and decompress. Pass, "
            "for example, compression=hvd.Compression.fp16."
        )
