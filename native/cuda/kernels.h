#pragma once

// The calls of the table that launch kernels, one file each.

#include "device/plugin_abi.h"

namespace ringsync::cuda {

RsStatus pack(const RsMove* move, void* stream);
RsStatus unpack(const RsMove* move, void* stream);
RsStatus sum_peers(const RsSum* sum, void* stream);
RsStatus signal(uint32_t* const* flags, uint32_t flag_count, uint32_t value, const uint32_t* unless,
                void* stream);

}  // namespace ringsync::cuda
