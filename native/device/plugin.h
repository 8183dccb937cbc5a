#pragma once

// Loads a device plug-in. What is on the device and in which order it works is its users' matter.

#include <filesystem>
#include <string>
#include <string_view>

#include "device/plugin_abi.h"

namespace ringsync {

/// Where a plug-in of that kind lies if it was built: beside the core itself.
std::filesystem::path plugin_path(std::string_view kind);

/// A loaded plug-in; its table is valid as long as the process runs. Any thread.
class Plugin {
 public:
  /// Throws ConfigError where the file cannot be loaded, is no plug-in, or is of another version.
  explicit Plugin(const std::filesystem::path& path);

  const RsDeviceApi& api() const { return *api_; }
  /// A status in words, which end in what to do.
  std::string describe(RsStatus status) const;

 private:
  const RsDeviceApi* api_ = nullptr;
};

struct DeviceCount {
  int count = 0;
  /// Why there is none; empty where there are some.
  std::string reason;
};

/// Asks a plug-in. Throws as its constructor does.
DeviceCount count_devices(const std::filesystem::path& path);

}  // namespace ringsync
