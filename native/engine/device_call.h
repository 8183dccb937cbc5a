#pragma once

// What a group's ranks are to do on their devices at once: an array, or a bucket of several. By
// what it is done is for those who do it.

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/span.h"
#include "device/device.h"
#include "device/reduction.h"

namespace ringsync {

/// One array on its way, or one piece of it.
struct DevicePiece {
  /// What this rank gives; empty: nothing.
  ByteSpan input;
  /// Where the result goes, and whether a schedule writes it there itself.
  MutableByteSpan output;
  bool is_output_apart = false;
  Dtype dtype = Dtype::kUint8;
  Reduction reduction;
};

/// Arrays that are summed as one, each where its segment says.
struct DeviceBucket {
  std::vector<RsSegment> segments;
  size_t elements = 0;
  Dtype dtype = Dtype::kUint8;
  Reduction reduction;
};

/// Packs a bucket into `room`, has it summed there, and unpacks the results, which `sum` returns
/// what to multiply by. Throws Error.
template <typename Sum>
void run_packed(const Device& device, const DeviceBucket& bucket, std::byte* room, void* stream,
                const Sum& sum) {
  const auto dtype = static_cast<uint32_t>(bucket.dtype);
  RsMove move{bucket.segments.data(),
              static_cast<uint32_t>(bucket.segments.size()),
              0,
              room,
              bucket.elements,
              dtype,
              dtype,
              1.0,
              {}};
  device.require(device.api().pack(&move, stream), "arrays cannot be packed");
  move.scale = sum();
  device.require(device.api().unpack(&move, stream), "results cannot be unpacked");
}

}  // namespace ringsync
