// The table of the simulated device: the whole GPU path on a host without one, for tests.

#include <sys/random.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "device/plugin_abi.h"
#include "device/plugin_calls.h"
#include "hostsim/graphs.h"
#include "hostsim/guarded.h"
#include "hostsim/kernels.h"
#include "hostsim/memory.h"
#include "hostsim/stream.h"
#include "hostsim/streams.h"

namespace ringsync::hostsim {
namespace {

RsStatus describe(RsStatus status, char* text, uint64_t text_bytes) {
  if (text == nullptr || text_bytes == 0) return kRsBadArgument;
  const char* words = plugin::words_of(status);
  std::snprintf(text, text_bytes, "%s.", words != nullptr ? words : std::strerror(status));
  return kRsOk;
}

RsStatus count_devices(int32_t* count) {
  if (count == nullptr) return kRsBadArgument;
  *count = 1;
  return kRsOk;
}

RsStatus look_at_device(int32_t device, RsDeviceFacts* facts) {
  if (device != 0 || facts == nullptr) return kRsBadArgument;
  *facts = {};
  std::snprintf(facts->name, sizeof(facts->name), "simulated device");
  facts->memory_bytes = memory_bytes();
  facts->multiprocessors = 1;
  facts->can_export_memory = 1;
  // Each look finds another one: ranks of one process are as if they had one each.
  if (::getrandom(facts->uuid, sizeof(facts->uuid), 0) < 0) return kRsBadArgument;
  return kRsOk;
}

RsStatus use_device(int32_t device) { return device == 0 ? kRsOk : kRsBadArgument; }

RsStatus device_in_use(int32_t* device) {
  if (device == nullptr) return kRsBadArgument;
  *device = 0;
  return kRsOk;
}

RsStatus pin(void* memory, uint64_t bytes) {
  return memory != nullptr && bytes > 0 ? kRsOk : kRsBadArgument;
}

RsStatus unpin(void* memory) { return memory != nullptr ? kRsOk : kRsBadArgument; }

RsStatus allocate_pinned(uint64_t bytes, void** memory) {
  if (memory == nullptr) return kRsBadArgument;
  *memory = std::malloc(bytes != 0 ? bytes : 1);
  return *memory != nullptr ? kRsOk : kRsNoMemory;
}

RsStatus release_pinned(void* memory) {
  std::free(memory);
  return kRsOk;
}

RsStatus copy(void* to, const void* from, uint64_t bytes, void* stream) {
  if (bytes == 0) return kRsOk;
  if (to == nullptr || from == nullptr) return kRsBadArgument;
  return guarded([&] {
    return submit(stream, [=] {
      std::memmove(to, from, bytes);
      return kRsOk;
    });
  });
}

RsStatus fill(void* memory, uint32_t byte, uint64_t bytes, void* stream) {
  if (bytes == 0) return kRsOk;
  if (memory == nullptr) return kRsBadArgument;
  return guarded([&] {
    return submit(stream, [=] {
      std::memset(memory, static_cast<int>(byte & 0xffu), bytes);
      return kRsOk;
    });
  });
}

RsStatus move(const RsMove* bucket, bool is_pack, void* stream) {
  if (bucket == nullptr) return kRsBadArgument;
  return guarded([&] {
    Task task;
    const RsStatus status = make_move(*bucket, is_pack, task);
    return status == kRsOk && task ? submit(stream, std::move(task)) : status;
  });
}

RsStatus pack(const RsMove* bucket, void* stream) { return move(bucket, true, stream); }

RsStatus unpack(const RsMove* bucket, void* stream) { return move(bucket, false, stream); }

RsStatus sum_peers(const RsSum* sum, void* stream) {
  if (sum == nullptr) return kRsBadArgument;
  return guarded([&] {
    Task task;
    const RsStatus status = make_sum(*sum, task);
    return status == kRsOk && task ? submit(stream, std::move(task)) : status;
  });
}

/// No tool looks at a simulation.
RsStatus range_begin(const char* name) { return name != nullptr ? kRsOk : kRsBadArgument; }

RsStatus range_end() { return kRsOk; }

constexpr RsDeviceApi kApi{
    .abi = kRsAbi,
    .table_bytes = sizeof(RsDeviceApi),
    .kind = "hostsim",
    .describe = describe,
    .count_devices = count_devices,
    .look_at_device = look_at_device,
    .use_device = use_device,
    .device_in_use = device_in_use,
    .allocate = allocate,
    .release = release,
    .allocate_pinned = allocate_pinned,
    .release_pinned = release_pinned,
    .pin = pin,
    .unpin = unpin,
    .look_at_memory = look_at_memory,
    .copy = copy,
    .fill = fill,
    .create_stream = create_stream,
    .destroy_stream = destroy_stream,
    .synchronize_stream = synchronize_stream,
    .create_event = create_event,
    .destroy_event = destroy_event,
    .record_event = record_event,
    .wait_event = wait_event,
    .notify = notify,
    .query_event = query_event,
    .elapsed_ms = elapsed_ms,
    .export_memory = export_memory,
    .open_memory = open_memory,
    .close_memory = close_memory,
    .signal = signal,
    .wait_flag = wait_flag,
    .pack = pack,
    .unpack = unpack,
    .sum_peers = sum_peers,
    .begin_graph = begin_graph,
    .end_graph = end_graph,
    .launch_graph = launch_graph,
    .destroy_graph = destroy_graph,
    .range_begin = range_begin,
    .range_end = range_end,
};

}  // namespace
}  // namespace ringsync::hostsim

extern "C" [[gnu::visibility("default")]] const RsDeviceApi* rs_device_api() {
  return &ringsync::hostsim::kApi;
}
