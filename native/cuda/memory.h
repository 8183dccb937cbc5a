#pragma once

// The calls of the table that deal with memory, the host's, the device's and other processes'.

#include "device/plugin_abi.h"

namespace ringsync::cuda {

RsStatus allocate(uint64_t bytes, void** memory);
RsStatus release(void* memory);
RsStatus allocate_pinned(uint64_t bytes, void** memory);
RsStatus release_pinned(void* memory);
RsStatus pin(void* memory, uint64_t bytes);
RsStatus unpin(void* memory);
RsStatus look_at_memory(const void* memory, int32_t* device);
RsStatus copy(void* to, const void* from, uint64_t bytes, void* stream);
RsStatus fill(void* memory, uint32_t byte, uint64_t bytes, void* stream);
RsStatus export_memory(void* memory, RsMemoryHandle* handle);
RsStatus open_memory(const RsMemoryHandle* handle, void** memory);
RsStatus close_memory(void* memory);

}  // namespace ringsync::cuda
