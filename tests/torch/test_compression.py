"""A compressor changes the form on the wire, and nothing else."""

import pytest
import torch

import ringsync.torch as hvd
from ringsync.torch.compression import Compression, Compressor

LOSSY = [(Compression.fp16, torch.float16), (Compression.bf16, torch.bfloat16)]


@pytest.mark.parametrize(("compressor", "wire_dtype"), LOSSY)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_floating_tensor_travels_small_and_comes_back_in_its_dtype(compressor, wire_dtype, dtype):
    tensor = torch.tensor([1.0, -2.5, 1e-3, 0.0], dtype=dtype)
    wire, ctx = compressor.compress(tensor)
    assert wire.dtype == wire_dtype
    restored = compressor.decompress(wire, ctx)
    assert restored.dtype == dtype
    assert torch.allclose(restored.double(), tensor.double(), rtol=2**-8, atol=0)


@pytest.mark.parametrize(("compressor", "_"), [*LOSSY, (Compression.none, None)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.bool])
def test_no_compressor_touches_what_is_not_floating(compressor, _, dtype):
    tensor = torch.tensor([0, 1, 1], dtype=dtype)
    wire, ctx = compressor.compress(tensor)
    assert wire is tensor
    assert compressor.decompress(wire, ctx) is tensor


def test_none_leaves_a_floating_tensor_as_it_is():
    tensor = torch.ones(3)
    wire, ctx = Compression.none.compress(tensor)
    assert wire is tensor
    assert Compression.none.decompress(wire, ctx) is tensor


def test_bf16_keeps_the_range_that_fp16_lacks():
    tensor = torch.tensor([1e6])
    assert Compression.fp16.compress(tensor)[0].isinf().all()
    assert Compression.bf16.compress(tensor)[0].isfinite().all()


def test_a_compressor_without_its_methods_says_which_is_missing():
    with pytest.raises(NotImplementedError, match="compress is missing"):
        Compressor.compress(torch.ones(1))
    with pytest.raises(NotImplementedError, match="decompress is missing"):
        Compressor.decompress(torch.ones(1), None)


def test_allreduce_uses_any_compressor_and_returns_the_first_dtype(ranks):
    def work():
        class Halve(hvd.Compression.none):
            @staticmethod
            def compress(tensor):
                return tensor / 2, "ctx"

            @staticmethod
            def decompress(tensor, ctx):
                assert ctx == "ctx"
                return tensor * 2

        hvd.init()
        tensor = torch.arange(5.0) + hvd.rank()
        kinds = [hvd.Compression.none, hvd.Compression.fp16, hvd.Compression.bf16, Halve]
        return [hvd.allreduce(tensor, op=hvd.Sum, compression=kind) for kind in kinds]

    for results in ranks(2, work):
        for result in results:
            assert result.dtype == torch.float32
            assert torch.equal(result, 2 * torch.arange(5.0) + 1)  # exact in 8 bits


def test_the_wire_form_is_what_is_added_up(ranks):
    def work():
        hvd.init()
        return hvd.allreduce(torch.full((1,), 6e4), op=hvd.Sum, compression=hvd.Compression.fp16)

    for result in ranks(2, work):
        assert result.isinf().all()  # 2 * 6e4 is beyond float16


def test_what_cannot_compress_is_refused_by_name(ranks):
    def work():
        hvd.init()
        with pytest.raises(ValueError, match=r"\[allreduce\] compression='fp16' cannot compress"):
            hvd.allreduce(torch.ones(2), compression="fp16")
        with pytest.raises(ValueError, match=r"\[grouped_allreduce\] compression=None"):
            hvd.grouped_allreduce([torch.ones(2)], compression=None)

    ranks(1, work)
