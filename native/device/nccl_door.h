#pragma once

// The one way of a thread into NCCL, which another may close: of a communicator that is somebody
// else's nothing may be touched any more once its owner has been told that it is left.

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/futex.h"

namespace ringsync {

/// One thread goes in and out; any may close it.
class NcclDoor {
 public:
  /// Stays inside until it ends, if it has come in.
  class Visit {
   public:
    explicit Visit(NcclDoor& door) : door_(door) { door_.is_inside_ = 1; }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit() {
      door_.is_inside_ = 0;
      if (door_.is_closed_) futex_wake_all(door_.is_inside_);
    }

    /// Asked once inside: whoever closes it afterwards sees this visit.
    bool may_stay() const { return !door_.is_closed_; }

   private:
    NcclDoor& door_;
  };

  bool is_closed() const { return is_closed_; }
  /// Nobody comes in from now on. Returns at once.
  void close() noexcept { is_closed_ = true; }
  /// Likewise, and waits until nobody is inside: that takes nanoseconds, unless it is a call that
  /// waits for other ranks, in which its communicator may be aborted.
  void shut() noexcept {
    close();
    const Deadline deadline = Clock::now() + kLooked;
    while (is_inside_ != 0 && Clock::now() < deadline) futex_wait(is_inside_, 1, deadline);
  }

 private:
  /// More than a look at a communicator takes, on a busy machine too.
  static constexpr auto kLooked = std::chrono::milliseconds(100);

  std::atomic<bool> is_closed_{false};
  std::atomic<uint32_t> is_inside_{0};
};

}  // namespace ringsync
