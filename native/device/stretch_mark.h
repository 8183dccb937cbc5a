#pragma once

// A stretch of a stream's work, measured where that is wanted.

#include <utility>

#include "device/device.h"

namespace ringsync {

class StretchMark {
 public:
  /// What the stream is given from now on. Throws Error.
  StretchMark(Device& device, const char* word, void* stream, const Measures& measures)
      : device_(device), word_(word), stream_(stream) {
    if (measures.clock) begin_ = device_.record(stream_, true);
  }

  /// Up to here: an event behind it. Where it `is_void`, nothing is told of it. Throws Error.
  DeviceEvent end(Measures& measures, bool is_void = false) const {
    DeviceEvent event = device_.record(stream_, begin_ != nullptr);
    if (begin_ && !is_void) measures.stretches.push_back({word_, begin_, event});
    return event;
  }

 private:
  Device& device_;
  const char* const word_;
  void* const stream_;
  DeviceEvent begin_;  // null where nothing is measured
};

}  // namespace ringsync
