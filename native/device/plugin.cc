#include "device/plugin.h"

#include <dlfcn.h>

#include <array>

#include "base/error.h"
#include "device/dl_error.h"

namespace ringsync {
namespace {

constexpr const char* kSymbol = "rs_device_api";
constexpr size_t kMostTextBytes = 512;

}  // namespace

std::filesystem::path plugin_path(std::string_view kind) {
  Dl_info core{};
  const auto* here = reinterpret_cast<const void*>(&plugin_path);
  if (::dladdr(here, &core) == 0 || core.dli_fname == nullptr) {
    throw ConfigError(
        "[plugin] the native core does not know its own place. Install ringsync anew.");
  }
  return std::filesystem::path(core.dli_fname).parent_path() /
         ("libringsync_" + std::string(kind) + ".so");
}

Plugin::Plugin(const std::filesystem::path& path) {
  // It stays: CUDA's run time leaves calls behind that a process makes when it ends.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    throw ConfigError("[plugin] " + path.string() + " cannot be loaded: " + dl_error_text() +
                      ". Install ringsync anew.");
  }
  const auto find = reinterpret_cast<decltype(&rs_device_api)>(::dlsym(library, kSymbol));
  if (find == nullptr) {
    throw ConfigError("[plugin] " + path.string() + " has no " + kSymbol +
                      ". Install ringsync anew.");
  }
  api_ = find();
  if (api_->abi != kRsAbi || api_->table_bytes != sizeof(RsDeviceApi)) {
    throw ConfigError("[plugin] " + path.string() + " has version " + std::to_string(api_->abi) +
                      ", the core " + std::to_string(kRsAbi) + ". Install ringsync anew.");
  }
}

std::string Plugin::describe(RsStatus status) const {
  std::array<char, kMostTextBytes> text{};
  api_->describe(status, text.data(), text.size());
  return text.data();
}

DeviceCount count_devices(const std::filesystem::path& path) {
  const Plugin plugin(path);
  int32_t count = 0;
  const RsStatus status = plugin.api().count_devices(&count);
  return {count, status == kRsOk ? "" : plugin.describe(status)};
}

}  // namespace ringsync
