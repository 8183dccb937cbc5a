#include "base/event_log.h"

#include <utility>

namespace ringsync {

void EventLog::start() {
  const std::scoped_lock lock(mutex_);
  events_.clear();
  dropped_ = 0;
  on_.store(true, std::memory_order_relaxed);
}

void EventLog::stop() { on_.store(false, std::memory_order_relaxed); }

void EventLog::record(std::string_view lane, std::string_view name, int64_t start_ns,
                      int64_t end_ns, std::string_view tensor, uint64_t bytes) {
  if (!is_on()) return;
  const std::scoped_lock lock(mutex_);
  if (events_.size() >= kCapacity) {
    ++dropped_;
    return;
  }
  events_.push_back(
      {std::string(lane), std::string(name), start_ns, end_ns, std::string(tensor), bytes});
}

std::vector<Event> EventLog::take() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(events_, {});
}

uint64_t EventLog::dropped() const {
  const std::scoped_lock lock(mutex_);
  return dropped_;
}

}  // namespace ringsync
