#pragma once

// The calls of the table that name work for tools.

#include "device/plugin_abi.h"

namespace ringsync::cuda {

RsStatus range_begin(const char* name);
RsStatus range_end();

}  // namespace ringsync::cuda
