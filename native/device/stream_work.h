#pragma once

// What a stream is given: expected first, then put on it, then done; or it has failed on its way
// there. Who puts it where is for those who do.

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "device/plugin_abi.h"

namespace ringsync {

/// How far a stream had been given work at some time. Any thread.
using DeviceEvent = std::shared_ptr<void>;

/// One thread at a time makes notes, any reads.
class StreamWork {
 public:
  /// `memory` of the host is kept until it is done.
  explicit StreamWork(std::shared_ptr<std::byte> memory) : memory_(std::move(memory)) {}

  /// All of it is on its stream.
  bool is_put() const { return is_put_.load(std::memory_order_acquire); }
  /// Behind the last thing in it that other ranks take part in; null: nothing such. Once put.
  const DeviceEvent& passed() const { return passed_; }
  /// Why it was not put, or not whole: what of it was may be on its way. Else null.
  std::exception_ptr failure() const {
    return has_failed_.load(std::memory_order_acquire) ? failure_ : nullptr;
  }
  /// Nothing of it is on its way any more.
  bool is_done() const { return done_ns_.load() != 0; }
  /// By the one clock; 0 before.
  int64_t done_ns() const { return done_ns_.load(); }
  /// What has failed on the device by then. Once done.
  RsStatus status() const { return status_; }

  void note_put(DeviceEvent passed) {
    passed_ = std::move(passed);
    is_put_.store(true, std::memory_order_release);
  }
  /// Once.
  void note_failed(std::exception_ptr failure) {
    failure_ = std::move(failure);
    has_failed_.store(true, std::memory_order_release);
  }
  void note_done(RsStatus status) {
    status_ = status;
    done_ns_.store(now_ns());
  }

 private:
  const std::shared_ptr<std::byte> memory_;
  DeviceEvent passed_;          // written before is_put_
  std::exception_ptr failure_;  // written before has_failed_
  RsStatus status_ = kRsOk;     // written before done_ns_
  std::atomic<bool> is_put_{false};
  std::atomic<bool> has_failed_{false};
  std::atomic<int64_t> done_ns_{0};
};

}  // namespace ringsync
