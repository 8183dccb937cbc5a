#include "device/fusion_room.h"

#include <utility>

#include "base/forget.h"

namespace ringsync {

FusionRoom::FusionRoom(Device& device, MutableByteSpan memory, void* stream)
    : device_(device),
      memory_(memory),
      stream_(stream),
      half_bytes_(memory.size() / halves_.size()),
      packing_(device.make_stream()),
      unpacking_(device.make_stream()) {}

void FusionRoom::forget_streams() {
  forget(std::move(packing_));
  forget(std::move(unpacking_));
}

}  // namespace ringsync
