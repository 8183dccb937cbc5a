#pragma once

// Sums of what all ranks give, in rank order: 16-bit floats in float32 and rounded once.

#include <span>
#include <vector>

#include "device/nccl_abi.h"

namespace fake_nccl {

size_t bytes_of(ringsync::nccl::DataType type);

/// Of as many elements as fill `to`, from `offset` bytes on in each of the `inputs`.
void reduce(ringsync::nccl::DataType type, ringsync::nccl::RedOp op,
            const std::vector<std::vector<std::byte>>& inputs, size_t offset,
            std::span<std::byte> to);

}  // namespace fake_nccl
