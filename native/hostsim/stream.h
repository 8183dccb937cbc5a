#pragma once

// A device's streams and events as threads and counters of the host.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

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

using Tasks = std::vector<Task>;

/// Does tasks in order on a thread of its own. Any thread.
class Stream {
 public:
  Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  /// Waits for its tasks; one that waits for a flag gives up.
  ~Stream();

  /// Once, unless the stream keeps what it is given: then as often as that is done.
  void submit(Task task);
  /// Of what cannot be done again; kRsBadArgument where the stream keeps what it is given.
  RsStatus submit_once(Task task);
  /// kRsBadArgument where it does so already.
  RsStatus begin_keeping();
  /// None where it did not.
  std::optional<Tasks> end_keeping();
  /// Waits until nothing is left to do; returns the first failure, which stays. kRsBadArgument
  /// where the stream keeps what it is given.
  RsStatus synchronize();
  bool is_closing() const { return is_closing_.load(); }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  /// Guarded by `mutex_`, as is all below.
  std::deque<Task> tasks_;
  std::optional<Tasks> kept_;
  bool is_busy_ = false;
  RsStatus first_failure_ = kRsOk;
  std::atomic<bool> is_closing_ = false;
  std::thread thread_;
};

/// None where a caller means the default stream: null, or by the words of CUDA's that are no
/// address, 1 for the legacy one and 2 for that of each thread.
Stream* find_stream(void* stream) noexcept;

/// Does a task on the stream, or at once on the caller's thread where it is the default one.
RsStatus submit(void* stream, Task task);
/// Likewise, of what cannot be done again.
RsStatus submit_once(void* stream, Task task);

}  // namespace ringsync::hostsim
