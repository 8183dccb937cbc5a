#pragma once

// When a device came to its events, by the host's clock. Who wants to know is for those who record.

#include <cstdint>
#include <memory>
#include <vector>

#include "device/plugin_abi.h"
#include "device/stream_event.h"

namespace ringsync {

/// An event whose time by the host's clock is known; the times of later ones follow from it.
class DeviceClock {
 public:
  /// `start` has been reached, at that time.
  DeviceClock(const RsDeviceApi& api, DeviceEvent start, int64_t start_ns)
      : api_(api), start_(std::move(start)), start_ns_(start_ns) {}

  int64_t start_ns() const { return start_ns_; }
  /// Of a timed event that has been reached, and was recorded after the start; 0 where the device
  /// cannot tell.
  int64_t ns_of(const DeviceEvent& event) const {
    constexpr double kNsInMs = 1e6;
    float milliseconds = 0;
    if (api_.elapsed_ms(start_.get(), event.get(), &milliseconds) != kRsOk) return 0;
    return start_ns_ + static_cast<int64_t>(milliseconds * kNsInMs);
  }

 private:
  const RsDeviceApi& api_;
  const DeviceEvent start_;
  const int64_t start_ns_;
};

/// What a device was at, from one timed event to another.
struct Stretch {
  const char* word = nullptr;
  DeviceEvent begin;
  DeviceEvent end;
};

/// What is measured of some work, for a timeline.
struct Measures {
  std::shared_ptr<const DeviceClock> clock;  // null: nothing is
  std::vector<Stretch> stretches;
};

}  // namespace ringsync
