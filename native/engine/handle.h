#pragma once

// The completion of one call: made when it is submitted, completed by the engine, waited for by any
// thread.

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/dtype.h"
#include "base/futex.h"
#include "base/shape.h"
#include "device/device.h"

namespace ringsync {

/// When a request passed each stage; 0: not reached.
struct Times {
  int64_t submitted_ns = 0;
  int64_t started_ns = 0;  // its turn came: this rank announced it
  int64_t agreed_ns = 0;   // all ranks had announced it
  int64_t done_ns = 0;
};

/// Result memory of an operation whose result size only the agreement tells.
struct Result {
  std::shared_ptr<std::byte> data;
  size_t bytes = 0;
  Dtype dtype = Dtype::kUint8;
  Shape shape;
  /// On which device it lies; none: on the host.
  std::optional<int> device;
  /// Of an alltoall: how many rows came from each rank.
  std::vector<uint64_t> rows_from;
};

/// Makes many calls done at one moment: before it opens, none of them is.
class Gate {
 public:
  bool is_open() const { return is_open_.load(std::memory_order_acquire); }
  void open() { is_open_.store(true, std::memory_order_release); }

 private:
  std::atomic<bool> is_open_{false};
};

/// Opens a gate when it ends, whatever happens before.
class Opening {
 public:
  explicit Opening(Gate& gate) : gate_(gate) {}
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;
  ~Opening() { gate_.open(); }

 private:
  Gate& gate_;
};

/// What a device does for a call.
struct OnDevice {
  std::shared_ptr<const Device> device;
  std::shared_ptr<const StreamWork> work;
};

class Handle {
 public:
  /// Of a call that is done once `operations` are, one at least.
  explicit Handle(size_t operations);

  /// Any thread.
  bool is_done() const {
    const uint32_t state = state_.load(std::memory_order_acquire);
    return state == kDone || (state == kGated && gate_->is_open());
  }
  /// Sleeps until done, the deadline or a signal; may wake without any reason. Any thread.
  void wait(Deadline deadline);

  /// Is done, or all that it takes will be on devices without the engine.
  bool is_put() const { return is_done() || put_.load() == operations_; }
  /// As wait(), until that.
  void wait_put(Deadline deadline);
  /// What devices do for it by then: whoever has seen is_put().
  const std::vector<OnDevice>& on_devices() const { return on_devices_; }

  /// The rest is for whoever has seen is_done(), and before that for the engine alone.
  const std::exception_ptr& error() const { return error_; }
  /// Its operations have made some.
  bool has_results() const { return !results_.empty(); }
  /// That of one of its operations, where any has made one; without data if this one has not.
  const Result& result(size_t operation = 0) const { return results_[operation]; }
  const Times& times() const { return times_; }

  /// Of a call without a name: by which it meets those of other ranks. Once, when it is queued.
  void set_number(uint64_t number) { number_ = number; }
  /// Whoever the queued call was given to; none where it has a name.
  const std::optional<uint64_t>& number() const { return number_; }

  void set_result(size_t operation, Result result);
  /// One of its operations needs no more than this, which may be nothing.
  void note_put(OnDevice work);
  /// One of its operations has ended, with an error or without; the first error is kept. Of several
  /// it began with the first that began and passed the other stages with the last. With a gate it
  /// is done once that opens, too. True where wake() is due then: somebody sleeps, and it is done.
  bool complete(const Times& times, std::exception_ptr error,
                std::shared_ptr<const Gate> gate = nullptr);
  void wake() { futex_wake_all(state_); }

 private:
  /// Most operations complete before anybody sleeps on them: only then is there someone to wake.
  static constexpr uint32_t kPending = 0;
  static constexpr uint32_t kAwaited = 1;
  static constexpr uint32_t kGated = 2;
  static constexpr uint32_t kDone = 3;

  std::atomic<uint32_t> state_;
  const size_t operations_;
  std::atomic<size_t> put_{0};
  std::vector<OnDevice> on_devices_;  // of so many
  size_t left_;
  std::shared_ptr<const Gate> gate_;  // if it is kGated
  std::exception_ptr error_;
  std::optional<uint64_t> number_;
  std::vector<Result> results_;  // of all operations, once there is one
  Times times_;
};

}  // namespace ringsync
