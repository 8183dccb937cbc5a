#pragma once

// A device's memory as memfds, which other processes open through /proc and which end with the last
// process that has them.

#include "device/plugin_abi.h"

namespace ringsync::hostsim {

/// Of the whole device.
uint64_t memory_bytes();

RsStatus allocate(uint64_t bytes, void** memory);
RsStatus release(void* memory);
RsStatus look_at_memory(const void* memory, int32_t* device);
RsStatus export_memory(void* memory, RsMemoryHandle* handle);
RsStatus open_memory(const RsMemoryHandle* handle, void** memory);
RsStatus close_memory(void* memory);

}  // namespace ringsync::hostsim
