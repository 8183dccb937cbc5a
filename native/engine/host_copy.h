#pragma once

// The values of a device's array while ranks work on them: in memory of the host that peers see.
// They are fetched early, while others are worked on, and delivered once all is done; on both ways
// nobody waits for them.

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/span.h"
#include "engine/request.h"

namespace ringsync {

/// When something was on its way; zeros: never.
struct Interval {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

/// What began at some time, and is done or not.
inline Interval interval_of(int64_t begin_ns, const std::shared_ptr<const StreamWork>& work) {
  return work ? Interval{begin_ns, work->done_ns()} : Interval();
}

/// One thread at a time.
class HostCopy {
 public:
  /// Of an array whose device is known. Values are fetched only if they `are_read`, and delivered
  /// into the array only if they `are_written`.
  HostCopy(std::shared_ptr<const Place> place, MutableByteSpan array, bool are_read,
           bool are_written);

  /// Where the values are worked on.
  MutableByteSpan bytes() const { return {copy_.get(), copy_ ? array_.size() : 0}; }

  /// Begins to fetch, if that has not begun; if it is not urgent, perhaps not yet. Throws Error.
  void fetch(bool is_urgent);
  /// What has been fetched may be out of date.
  void drop();
  /// Throws Error where the device has failed.
  bool is_here() const;

  /// Room for a result of other length, which goes to `device_memory` of as many bytes.
  MutableByteSpan make_output(size_t bytes, std::shared_ptr<std::byte> device_memory);

  /// Begins to deliver; false if there is nothing that has to be. Throws Error.
  bool deliver();
  const std::shared_ptr<const StreamWork>& delivered() const { return delivered_; }
  bool is_delivered() const { return !delivered_ || delivered_->is_done(); }
  RsStatus delivery_status() const { return delivered_ ? delivered_->status() : kRsOk; }
  /// A copy on its way must not write into what its owner may free: waits, and returns whether it
  /// is delivered.
  bool settle(Deadline deadline) const;

  /// What of the array takes part, and where the result goes, for those who need no copy of it.
  ByteSpan read() const { return are_read_ ? array_ : ByteSpan(); }
  MutableByteSpan written() const { return are_written_ ? array_ : MutableByteSpan(); }

  Interval fetching() const { return interval_of(fetch_ns_, fetched_); }
  Interval delivering() const { return interval_of(deliver_ns_, delivered_); }

 private:
  std::shared_ptr<const Place> place_;
  MutableByteSpan array_;
  bool are_read_;
  bool are_written_;
  std::shared_ptr<std::byte> copy_;
  std::shared_ptr<std::byte> output_;
  std::shared_ptr<std::byte> result_;  // on the device
  size_t result_bytes_ = 0;
  int64_t fetch_ns_ = 0;
  int64_t deliver_ns_ = 0;
  std::shared_ptr<const StreamWork> fetched_;
  std::shared_ptr<const StreamWork> delivered_;
};

}  // namespace ringsync
