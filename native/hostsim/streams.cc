#include "hostsim/streams.h"

#include <array>
#include <memory>
#include <span>

#include "hostsim/flags.h"
#include "hostsim/guarded.h"
#include "hostsim/stream.h"

namespace ringsync::hostsim {

RsStatus create_stream(int32_t, void** stream) {
  if (stream == nullptr) return kRsBadArgument;
  return guarded([&] {
    *stream = std::make_unique<Stream>().release();
    return kRsOk;
  });
}

RsStatus destroy_stream(void* stream) {
  Stream* const found = find_stream(stream);
  if (found == nullptr) return kRsBadArgument;
  return guarded([&] {
    const std::unique_ptr<Stream> owned(found);
    return kRsOk;
  });
}

RsStatus synchronize_stream(void* stream) {
  Stream* const found = find_stream(stream);
  if (found == nullptr) return kRsOk;
  return guarded([&] { return found->synchronize(); });
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
    return submit_once(stream, [mark] {
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
    return submit_once(stream, [mark] {
      mark->wait();
      return kRsOk;
    });
  });
}

RsStatus notify(void (*call)(void*, RsStatus), void* context, void* stream) {
  if (call == nullptr) return kRsBadArgument;
  return guarded([&] {
    return submit_once(stream, [=] {
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
    return submit(stream, [flag, value, found = find_stream(stream)]() -> RsStatus {
      while (!has_reached(flag, value)) {
        if (found != nullptr && found->is_closing()) return kRsAbandoned;
        wait_for_change(flag, value);
      }
      return kRsOk;
    });
  });
}

}  // namespace ringsync::hostsim
