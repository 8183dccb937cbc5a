#include "engine/recording.h"

#include <string>

#include "base/clock.h"

namespace ringsync {
namespace {

constexpr char kLane[] = "engine";
constexpr char kDeviceLane[] = "device";

}  // namespace

void record_order(EventLog& events, int64_t began_ns) {
  events.record(kLane, "order", began_ns, now_ns());
}

void record_done(EventLog& events, const Operation& operation) {
  const Times& times = operation.times();
  if (!events.is_on() || times.started_ns == 0) return;
  const Request& request = operation.request();
  const int64_t agreed_ns = times.agreed_ns == 0 ? times.done_ns : times.agreed_ns;
  const uint64_t bytes = request.data.size();
  const std::string label = label_of(request);
  events.record(kLane, "agree", times.started_ns, agreed_ns, label, bytes);
  if (times.agreed_ns == 0) return;
  // What a device does lies beside what the engine's thread does meanwhile, and it tells the times.
  if (!operation.runs_on_device()) {
    events.record(kLane, "run", agreed_ns, times.done_ns, label, bytes);
  } else if (operation.is_delivered() && operation.measures().clock) {
    const Measures& measures = operation.measures();
    for (const auto& [word, begin, end] : measures.stretches) {
      const int64_t begin_ns = measures.clock->ns_of(begin);
      const int64_t end_ns = measures.clock->ns_of(end);
      if (begin_ns == 0 || end_ns == 0) continue;  // it could not tell
      events.record(kDeviceLane, word, begin_ns, end_ns, label, bytes);
    }
  }
  const auto record_copy = [&](const char* word, Interval taken) {
    if (taken.end_ns == 0) return;
    events.record(kDeviceLane, word, taken.begin_ns, taken.end_ns, label, bytes);
  };
  record_copy("fetch", operation.fetching());
  record_copy("deliver", operation.delivering());
}

}  // namespace ringsync
