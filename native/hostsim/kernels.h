#pragma once

// The kernels: what a device's threads do, one after the other on the thread that calls.

#include <functional>

#include "device/plugin_abi.h"

namespace ringsync::hostsim {

/// Everything that a stream is to do is a task; it returns what failed.
using Task = std::function<RsStatus()>;

/// Checks the call and copies what it must not read later. Empty where there is nothing to do.
RsStatus make_move(const RsMove& move, bool is_pack, Task& task);
RsStatus make_sum(const RsSum& sum, Task& task);

}  // namespace ringsync::hostsim
