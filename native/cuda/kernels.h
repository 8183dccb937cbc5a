#pragma once

// The calls of the table that launch kernels, one file each.

#include "device/plugin_abi.h"

namespace ringsync::cuda {

/// Loads the code of every kernel of a file onto the device in use. Left to their first launch,
/// that may wait for streams that wait for a flag, which a later launch on this very thread would
/// write.
RsStatus load_moves();
RsStatus load_sums();

RsStatus pack(const RsMove* move, void* stream);
RsStatus unpack(const RsMove* move, void* stream);
RsStatus sum_peers(const RsSum* sum, void* stream);
RsStatus signal(uint32_t* const* flags, uint32_t flag_count, uint32_t value, const uint32_t* unless,
                void* stream);

}  // namespace ringsync::cuda
