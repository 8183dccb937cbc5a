#pragma once

// Marks in streams.

#include <memory>

namespace ringsync {

/// How far a stream had been given work at some time. Any thread.
using DeviceEvent = std::shared_ptr<void>;

}  // namespace ringsync
