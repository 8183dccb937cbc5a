#pragma once

// A device's streams and events as threads and counters of the host.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "hostsim/kernels.h"

namespace ringsync::hostsim {

/// One record of an event. Any thread.
struct Mark {
  std::atomic<bool> is_reached = false;
  /// Written before `is_reached`.
  std::chrono::steady_clock::time_point time;

  void reach() noexcept;
  void wait() const noexcept;
};

struct Event {
  std::mutex mutex;
  /// The last record; guarded by `mutex`, null before the first one.
  std::shared_ptr<Mark> mark;

  std::shared_ptr<Mark> last();
};

/// Does tasks in order on a thread of its own. Any thread.
class Stream {
 public:
  Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  /// Waits for its tasks; one that waits for a flag gives up.
  ~Stream();

  void submit(Task task);
  /// Waits until nothing is left to do; returns the first failure, which stays.
  RsStatus synchronize();
  bool is_closing() const { return is_closing_.load(); }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  /// Guarded by `mutex_`, as is all below.
  std::deque<Task> tasks_;
  bool is_busy_ = false;
  RsStatus first_failure_ = kRsOk;
  std::atomic<bool> is_closing_ = false;
  std::thread thread_;
};

/// Does a task on the stream, or at once on the caller's thread where there is none.
RsStatus submit(void* stream, Task task);

}  // namespace ringsync::hostsim
