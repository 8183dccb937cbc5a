// The table of the simulated device: the whole GPU path on a host without one, for tests.

#include <sys/random.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "device/plugin_abi.h"
#include "device/plugin_calls.h"
#include "hostsim/flags.h"
#include "hostsim/kernels.h"
#include "hostsim/memory.h"
#include "hostsim/stream.h"

namespace ringsync::hostsim {
namespace {

/// No exception crosses the table; those that can come are of memory and threads.
template <typename Call>
RsStatus guarded(const Call& call) noexcept {
  try {
    return call();
  } catch (...) {  // its kind would not help: the status has one word for all
    return kRsUnexpected;
  }
}

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

RsStatus create_stream(int32_t, void** stream) {
  if (stream == nullptr) return kRsBadArgument;
  return guarded([&] {
    *stream = std::make_unique<Stream>().release();
    return kRsOk;
  });
}

RsStatus destroy_stream(void* stream) {
  if (stream == nullptr) return kRsBadArgument;
  return guarded([&] {
    const std::unique_ptr<Stream> owned(static_cast<Stream*>(stream));
    return kRsOk;
  });
}

RsStatus synchronize_stream(void* stream) {
  if (stream == nullptr) return kRsOk;
  return guarded([&] { return static_cast<Stream*>(stream)->synchronize(); });
}

RsStatus create_event(int32_t, void** event) {
  if (event == nullptr) return kRsBadArgument;
  return guarded([&] {
    *event = std::make_unique<Event>().release();
    return kRsOk;
  });
}

RsStatus destroy_event(void* event) {
  if (event == nullptr) return kRsBadArgument;
  const std::unique_ptr<Event> owned(static_cast<Event*>(event));
  return kRsOk;
}

RsStatus record_event(void* event, void* stream) {
  if (event == nullptr) return kRsBadArgument;
  return guarded([&] {
    auto mark = std::make_shared<Mark>();
    {
      auto& recorded = *static_cast<Event*>(event);
      const std::scoped_lock lock(recorded.mutex);
      recorded.mark = mark;
    }
    return submit(stream, [mark] {
      mark->reach();
      return kRsOk;
    });
  });
}

RsStatus wait_event(void* stream, void* event) {
  if (event == nullptr) return kRsBadArgument;
  return guarded([&] {
    const std::shared_ptr<Mark> mark = static_cast<Event*>(event)->last();
    if (mark == nullptr) return static_cast<RsStatus>(kRsOk);
    return submit(stream, [mark] {
      mark->wait();
      return kRsOk;
    });
  });
}

RsStatus notify(void (*call)(void*, RsStatus), void* context, void* stream) {
  if (call == nullptr) return kRsBadArgument;
  return guarded([&] {
    return submit(stream, [=] {
      call(context, kRsOk);
      return kRsOk;
    });
  });
}

RsStatus query_event(void* event, int32_t* is_reached) {
  if (event == nullptr || is_reached == nullptr) return kRsBadArgument;
  return guarded([&] {
    const std::shared_ptr<Mark> mark = static_cast<Event*>(event)->last();
    *is_reached = mark == nullptr || mark->is_reached.load() ? 1 : 0;
    return kRsOk;
  });
}

RsStatus elapsed_ms(void* start, void* end, float* milliseconds) {
  if (start == nullptr || end == nullptr || milliseconds == nullptr) return kRsBadArgument;
  return guarded([&]() -> RsStatus {
    const std::shared_ptr<Mark> first = static_cast<Event*>(start)->last();
    const std::shared_ptr<Mark> last = static_cast<Event*>(end)->last();
    if (first == nullptr || last == nullptr || !first->is_reached || !last->is_reached) {
      return kRsBadArgument;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(last->time - first->time).count();
    return kRsOk;
  });
}

RsStatus signal(uint32_t* const* flags, uint32_t flag_count, uint32_t value, const uint32_t* unless,
                void* stream) {
  if (flags == nullptr || flag_count > kRsMostFlags) return kRsBadArgument;
  std::array<uint32_t*, kRsMostFlags> words{};
  for (uint32_t i = 0; i < flag_count; ++i) {
    if (flags[i] == nullptr) return kRsBadArgument;
    words[i] = flags[i];
  }
  return guarded([&] {
    return submit(stream, [words, flag_count, value, unless] {
      if (unless != nullptr && read_flag(unless) != 0) return kRsOk;
      for (uint32_t* flag : std::span(words).first(flag_count)) write_flag(flag, value);
      return kRsOk;
    });
  });
}

RsStatus wait_flag(const uint32_t* flag, uint32_t value, void* stream) {
  if (flag == nullptr) return kRsBadArgument;
  return guarded([&] {
    return submit(stream, [=]() -> RsStatus {
      while (!has_reached(flag, value)) {
        if (stream != nullptr && static_cast<Stream*>(stream)->is_closing()) return kRsAbandoned;
        wait_for_change(flag, value);
      }
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
    .range_begin = range_begin,
    .range_end = range_end,
};

}  // namespace
}  // namespace ringsync::hostsim

extern "C" [[gnu::visibility("default")]] const RsDeviceApi* rs_device_api() {
  return &ringsync::hostsim::kApi;
}
