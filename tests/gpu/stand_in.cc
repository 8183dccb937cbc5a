// A device plug-in that is the one whose file STAND_IN_FOR names, but for two things that tests ask
// for: it has no memory for allocations of STAND_IN_BYTES or more, and it writes the names of
// ranges, and a line without one where a range ends, to the file STAND_IN_RANGES.

#include <dlfcn.h>

#include <cstdlib>
#include <fstream>

#include "device/plugin_abi.h"

namespace {

const RsDeviceApi& whole() {
  static const auto find = reinterpret_cast<decltype(&rs_device_api)>(
      dlsym(dlopen(std::getenv("STAND_IN_FOR"), RTLD_NOW), "rs_device_api"));
  return *find();
}

RsStatus allocate(uint64_t bytes, void** memory) {
  const char* const most = std::getenv("STAND_IN_BYTES");
  const bool is_refused = most != nullptr && bytes >= std::strtoull(most, nullptr, 10);
  return is_refused ? kRsNoMemory : whole().allocate(bytes, memory);
}

RsStatus range_begin(const char* name) {
  const RsStatus status = whole().range_begin(name);
  const char* const file = std::getenv("STAND_IN_RANGES");
  if (file != nullptr && status == kRsOk) std::ofstream(file, std::ios::app) << name << std::endl;
  return status;
}

RsStatus range_end() {
  const char* const file = std::getenv("STAND_IN_RANGES");
  if (file != nullptr) std::ofstream(file, std::ios::app) << std::endl;
  return whole().range_end();
}

RsDeviceApi stand_in() {
  RsDeviceApi api = whole();
  api.allocate = allocate;
  api.range_begin = range_begin;
  api.range_end = range_end;
  return api;
}

}  // namespace

extern "C" const RsDeviceApi* rs_device_api() {
  static const RsDeviceApi api = stand_in();
  return &api;
}
