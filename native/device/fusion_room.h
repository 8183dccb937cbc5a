#pragma once

// Memory of a device through which arrays pass in turn: while one lies in a half of it and is
// summed there, the next one is packed into the other half, and the one before is unpacked. What is
// packed, and who sums it, is for those who use it.

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "base/span.h"
#include "device/device.h"
#include "device/stretch.h"

namespace ringsync {

/// One thread at a time.
class FusionRoom {
 public:
  /// `memory` has room for both halves. What is between packing and unpacking is on `stream`. Both
  /// outlive it. Throws Error.
  FusionRoom(Device& device, MutableByteSpan memory, void* stream);

  /// Most bytes of what passes through.
  size_t half_bytes() const { return half_bytes_; }
  /// To be called before the first: ranks have halves of one length.
  void limit(size_t half_bytes) { half_bytes_ = half_bytes; }

  /// `pack(half, stream)` once the events are reached, `sum(half)` on the stream, which a timeline
  /// calls `word`, and then `unpack(half, stream)`: each puts what it takes on its stream, and of
  /// what it packs and unpacks tells whether there is anything. Returns an event behind the sum.
  /// Throws what they throw, and Error.
  template <typename Pack, typename Sum, typename Unpack>
  DeviceEvent run(std::span<const DeviceEvent> after, const Pack& pack, const char* word,
                  const Sum& sum, const Unpack& unpack, Measures& measures) {
    const size_t turn = turn_++ % halves_.size();
    const MutableByteSpan half = memory_.subspan(turn * half_bytes_, half_bytes_);
    for (const DeviceEvent& event : after) device_.wait_for(packing_.get(), event);
    if (halves_[turn]) device_.wait_for(packing_.get(), halves_[turn]);
    device_.wait_for(stream_, put_stretch(device_, "pack", packing_.get(), measures,
                                          [&] { return pack(half, packing_.get()); }));
    const DeviceEvent passed = put_stretch(device_, word, stream_, measures, [&] {
      sum(half);
      return true;
    });
    device_.wait_for(unpacking_.get(), passed);
    halves_[turn] = put_stretch(device_, "unpack", unpacking_.get(), measures,
                                [&] { return unpack(half, unpacking_.get()); });
    return passed;
  }
  /// Its first stream, and its last, behind all that has passed through.
  void* packing() const { return packing_.get(); }
  void* end() const { return unpacking_.get(); }
  /// A stream stands still: to give any back would wait for it.
  void forget_streams();

 private:
  Device& device_;
  const MutableByteSpan memory_;
  void* const stream_;
  size_t half_bytes_;
  std::shared_ptr<void> packing_;
  std::shared_ptr<void> unpacking_;
  size_t turn_ = 0;
  std::array<DeviceEvent, 2> halves_;  // when each is free again
};

}  // namespace ringsync
