#pragma once

// What a stream is given: expected first, then put on it, then done; or it has failed on its way
// there. Who puts it where is for those who do.

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/futex.h"
#include "device/device_clock.h"
#include "device/plugin_abi.h"
#include "device/stream_event.h"

namespace ringsync {

/// One thread notes that it is put or has failed, one that it is done; any reads.
class StreamWork {
 public:
  /// `memory` of the host is kept until it is done.
  explicit StreamWork(std::shared_ptr<std::byte> memory) : memory_(std::move(memory)) {}

  /// All of it is on its stream.
  bool is_put() const { return stage_.load(std::memory_order_acquire) == kPut; }
  /// It is put, or has failed.
  bool is_settled() const { return stage_.load(std::memory_order_acquire) >= kPut; }
  /// Behind the last thing in it that other ranks take part in; null: nothing such. Once put, as
  /// the next.
  const DeviceEvent& passed() const { return passed_; }
  /// Behind all of it.
  const DeviceEvent& end() const { return end_; }
  const Measures& measures() const { return measures_; }
  /// Sleeps until it is put, or has failed, or the deadline; may wake without any reason.
  void wait_put(Deadline deadline) const {
    uint32_t stage = kExpected;
    if (stage_.compare_exchange_strong(stage, kAwaited) || stage == kAwaited) {
      futex_wait(stage_, kAwaited, deadline);
    }
  }
  /// Why it was not put, or not whole: what of it was may be on its way. Else null.
  std::exception_ptr failure() const {
    return stage_.load(std::memory_order_acquire) == kFailed ? failure_ : nullptr;
  }
  /// Nothing of it is on its way any more.
  bool is_done() const { return done_ns_.load() != 0; }
  /// By the one clock; 0 before.
  int64_t done_ns() const { return done_ns_.load(); }
  /// What has failed on the device by then. Once done.
  RsStatus status() const { return status_; }

  void note_put(DeviceEvent passed, DeviceEvent end, Measures measures = {}) {
    measures_ = std::move(measures);
    passed_ = std::move(passed);
    end_ = std::move(end);
    enter(kPut);
  }
  void note_failed(std::exception_ptr failure) {
    failure_ = std::move(failure);
    enter(kFailed);
  }
  void note_done(RsStatus status) {
    status_ = status;
    done_ns_.store(now_ns());
  }

 private:
  static constexpr uint32_t kExpected = 0;
  static constexpr uint32_t kAwaited = 1;  // by somebody who sleeps
  static constexpr uint32_t kPut = 2;
  static constexpr uint32_t kFailed = 3;

  void enter(uint32_t stage) {
    if (stage_.exchange(stage) == kAwaited) futex_wake_all(stage_);
  }

  const std::shared_ptr<std::byte> memory_;
  mutable std::atomic<uint32_t> stage_{kExpected};
  // Written before the stage that they belong to.
  DeviceEvent passed_;
  DeviceEvent end_;
  Measures measures_;
  std::exception_ptr failure_;
  RsStatus status_ = kRsOk;  // written before done_ns_
  std::atomic<int64_t> done_ns_{0};
};

}  // namespace ringsync
