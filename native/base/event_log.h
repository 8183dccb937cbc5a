#pragma once

// Marks of what happened when, for the timeline: recorded above and below the door with one clock.
// It only keeps events; files and reports are made in Python.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace ringsync {

struct Event {
  std::string lane;
  std::string name;
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  std::string tensor;
  uint64_t bytes = 0;
};

/// Any thread. Off, an event costs one relaxed load.
class EventLog {
 public:
  bool is_on() const { return on_.load(std::memory_order_relaxed); }
  void start();
  void stop();
  void record(std::string_view lane, std::string_view name, int64_t start_ns, int64_t end_ns,
              std::string_view tensor = {}, uint64_t bytes = 0);

  /// Takes all events out, in the order in which they were recorded.
  std::vector<Event> take();
  /// Events not kept since start() because the log was full.
  uint64_t dropped() const;

 private:
  /// About 100 bytes an event: 100 MB, some ten thousand steps of a hundred events.
  static constexpr size_t kCapacity = 1'000'000;

  std::atomic<bool> on_{false};
  mutable std::mutex mutex_;
  std::vector<Event> events_;  // guarded by mutex_
  uint64_t dropped_ = 0;       // guarded by mutex_
};

}  // namespace ringsync
