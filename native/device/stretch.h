#pragma once

// A stretch of a stream's work: named for the tools that watch the thread which gives it, and
// measured where that is wanted.

#include "device/device.h"
#include "device/plugin_range.h"

namespace ringsync {

/// Calls `put`, which gives a stream what `word` says, and tells whether there is any such thing;
/// of nothing nothing is told. Returns an event behind it. Throws what that throws, and Error.
template <typename Put>
DeviceEvent put_stretch(Device& device, const char* word, void* stream, Measures& measures,
                        const Put& put) {
  const PluginRange range(device.api(), word);
  const bool is_timed = measures.clock != nullptr;
  const DeviceEvent begin = is_timed ? device.record(stream, true) : nullptr;
  const bool is_any = put();
  DeviceEvent end = device.record(stream, is_timed);
  if (is_timed && is_any) measures.stretches.push_back({word, begin, end});
  return end;
}

}  // namespace ringsync
