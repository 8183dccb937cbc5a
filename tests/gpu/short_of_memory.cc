// A device plug-in that is the one whose file SHORT_OF_MEMORY names, but for allocations of
// SHORT_OF_MEMORY_BYTES or more: for these it has no memory.

#include <dlfcn.h>

#include <cstdlib>

#include "device/plugin_abi.h"

namespace {

const RsDeviceApi& whole() {
  static const auto find = reinterpret_cast<decltype(&rs_device_api)>(
      dlsym(dlopen(std::getenv("SHORT_OF_MEMORY"), RTLD_NOW), "rs_device_api"));
  return *find();
}

RsStatus allocate(uint64_t bytes, void** memory) {
  const char* const most = std::getenv("SHORT_OF_MEMORY_BYTES");
  const bool is_refused = most != nullptr && bytes >= std::strtoull(most, nullptr, 10);
  return is_refused ? kRsNoMemory : whole().allocate(bytes, memory);
}

RsDeviceApi short_of_memory() {
  RsDeviceApi api = whole();
  api.allocate = allocate;
  return api;
}

}  // namespace

extern "C" const RsDeviceApi* rs_device_api() {
  static const RsDeviceApi api = short_of_memory();
  return &api;
}
