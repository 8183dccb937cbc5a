#include "engine/host_copy.h"

#include <utility>

namespace ringsync {

HostCopy::HostCopy(std::shared_ptr<const Place> place, MutableByteSpan array, bool are_read,
                   bool are_written)
    : place_(std::move(place)),
      array_(array),
      are_read_(are_read && !array.empty()),
      are_written_(are_written && !array.empty()) {}

void HostCopy::fetch(bool is_urgent) {
  if (copy_ || (!is_urgent && are_read_ && !place_->device->has_stream())) return;
  copy_ = place_->device->lend(array_.size());
  if (!are_read_) return;
  fetch_ns_ = now_ns();
  fetched_ = place_->device->fetch(place_->ready, array_, copy_, is_urgent);
  if (!fetched_) copy_.reset();
}

void HostCopy::drop() {
  copy_.reset();
  fetched_.reset();
}

bool HostCopy::is_here() const {
  if (!copy_ || (are_read_ && !fetched_->is_done())) return false;
  if (are_read_) place_->device->require(fetched_->status(), "values could not be fetched");
  return true;
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

bool HostCopy::settle(Deadline deadline) const {
  return deliver_ns_ == 0 || (delivered_ && place_->device->wait(*delivered_, deadline));
}

}  // namespace ringsync
