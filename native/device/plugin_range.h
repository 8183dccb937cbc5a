#pragma once

// A name for what a thread gives to a device's streams, which tools like Nsight show.

#include "device/plugin_abi.h"

namespace ringsync {

/// Over all that its thread launches as long as it lives; one within another is shown so. `name` is
/// a word of the timeline, and a literal. A tool that fails is no reason for work to.
class PluginRange {
 public:
  PluginRange(const RsDeviceApi& api, const char* name)
      : api_(api), is_open_(api.range_begin(name) == kRsOk) {}
  PluginRange(const PluginRange&) = delete;
  PluginRange& operator=(const PluginRange&) = delete;
  ~PluginRange() {
    if (is_open_) api_.range_end();
  }

 private:
  const RsDeviceApi& api_;
  const bool is_open_;
};

}  // namespace ringsync
