#include "base/device_kind.h"

namespace ringsync {

std::string name(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kCuda:
      return "cuda";
    case DeviceKind::kMetal:
      return "metal";
    case DeviceKind::kRocm:
      return "rocm";
    case DeviceKind::kOneapi:
      return "oneapi";
  }
  return "device kind " + std::to_string(static_cast<int>(kind));
}

}  // namespace ringsync
