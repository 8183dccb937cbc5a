#include "engine/host_copy.h"

#include <utility>

#include "base/clock.h"

namespace ringsync {
HostCopy::HostCopy(std::shared_ptr<const Place> place, MutableByteSpan array, bool are_read,
                   bool are_written)
    : place_(std::move(place)),
      array_(array),
      are_read_(are_read && !array.empty()),
      are_written_(are_written && !array.empty()) {}

void HostCopy::fetch() {
  if (copy_) return;
  copy_ = place_->device->lend(array_.size());
  if (!are_read_) return;
  fetch_ns_ = now_ns();
  fetched_ = place_->device->fetch(place_->ready, array_, copy_);
}

MutableByteSpan HostCopy::make_output(size_t bytes, std::shared_ptr<std::byte> device_memory) {
  output_ = place_->device->lend(bytes);
  result_ = std::move(device_memory);
  result_bytes_ = bytes;
  return {output_.get(), bytes};
}

bool HostCopy::deliver() {
  if (!are_written_ && result_bytes_ == 0) return false;
  deliver_ns_ = now_ns();
  delivered_ = are_written_ ? place_->device->deliver(copy_, array_)
                            : place_->device->deliver(output_, {result_.get(), result_bytes_});
  return true;
}

bool HostCopy::settle() const { return !delivered_ || place_->device->settle(*delivered_); }

Interval HostCopy::span_of(int64_t begin_ns, const std::shared_ptr<const Transfer>& transfer) {
  if (!transfer) return {};
  return {begin_ns, transfer->done_ns()};
}

}  // namespace ringsync
