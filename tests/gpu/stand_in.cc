// A device plug-in that is the one whose file STAND_IN_FOR names, but for what tests ask for: it
// has no memory for allocations of STAND_IN_BYTES or more; it writes the names of ranges, and a
// line without one where a range ends, to the file STAND_IN_RANGES, and what becomes of graphs to
// STAND_IN_GRAPHS; of graphs it refuses the call that STAND_IN_REFUSES names. To STAND_IN_CLOSING
// it writes what device is in use where memory is closed, and has threads begin with device 1.

#include <dlfcn.h>

#include <cstdlib>
#include <fstream>
#include <string_view>

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

bool refuses(std::string_view call) {
  const char* const refused = std::getenv("STAND_IN_REFUSES");
  return refused != nullptr && call == refused;
}

RsStatus note_graph(RsStatus status, const char* what) {
  const char* const file = std::getenv("STAND_IN_GRAPHS");
  if (file != nullptr && status == kRsOk) std::ofstream(file, std::ios::app) << what << std::endl;
  return status;
}

/// What this thread gives to streams is kept.
thread_local bool is_keeping = false;

RsStatus begin_graph(void* stream) {
  if (refuses("begin_graph")) return kRsUnexpected;
  is_keeping = true;
  return whole().begin_graph(stream);
}

RsStatus wait_flag(const uint32_t* flag, uint32_t value, void* stream) {
  if (is_keeping && refuses("wait_flag")) return kRsUnexpected;
  return whole().wait_flag(flag, value, stream);
}

RsStatus end_graph(void* stream, void** graph) {
  is_keeping = false;
  const RsStatus status = whole().end_graph(stream, graph);
  if (status != kRsOk || !refuses("end_graph")) return note_graph(status, "made");
  whole().destroy_graph(*graph);
  return kRsUnexpected;
}

RsStatus launch_graph(void* graph, void* stream) {
  if (refuses("launch_graph")) return kRsUnexpected;
  return note_graph(whole().launch_graph(graph, stream), "launched");
}

RsStatus destroy_graph(void* graph) { return note_graph(whole().destroy_graph(graph), "gone"); }

bool is_watching_devices() { return std::getenv("STAND_IN_CLOSING") != nullptr; }

thread_local int32_t in_use = 1;

RsStatus device_in_use(int32_t* device) {
  if (!is_watching_devices()) return whole().device_in_use(device);
  *device = in_use;
  return kRsOk;
}

RsStatus use_device(int32_t device) {
  in_use = device;
  return is_watching_devices() ? kRsOk : whole().use_device(device);
}

RsStatus close_memory(void* memory) {
  if (is_watching_devices()) {
    std::ofstream(std::getenv("STAND_IN_CLOSING"), std::ios::app) << in_use << std::endl;
  }
  return whole().close_memory(memory);
}

RsDeviceApi stand_in() {
  RsDeviceApi api = whole();
  api.use_device = use_device;
  api.device_in_use = device_in_use;
  api.allocate = allocate;
  api.close_memory = close_memory;
  api.wait_flag = wait_flag;
  api.begin_graph = begin_graph;
  api.end_graph = end_graph;
  api.launch_graph = launch_graph;
  api.destroy_graph = destroy_graph;
  api.range_begin = range_begin;
  api.range_end = range_end;
  return api;
}

}  // namespace

extern "C" const RsDeviceApi* rs_device_api() {
  static const RsDeviceApi api = stand_in();
  return &api;
}
