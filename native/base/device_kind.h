#pragma once

// On what kind of device an array lies, by number. Not which one of several: ranks that train
// together each use their own.

#include <cstdint>
#include <string>

namespace ringsync {

/// DLPack's device types; numbers that have no name here come from there too.
enum class DeviceKind : uint8_t {
  /// All memory that the processor reads, pinned memory as well.
  kCpu = 1,
  kCuda = 2,
  kMetal = 8,
  kRocm = 10,
  kOneapi = 14,
};

std::string name(DeviceKind kind);

}  // namespace ringsync
