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

/// When it begins, and whether a timeline wants to know what becomes of it.
struct DeviceStart {
  std::vector<DeviceEvent> after;
  bool is_measured = false;
};

/// The bucket as kernels move it to and from `room`.
inline RsMove move_of(const DeviceBucket& bucket, MutableByteSpan room, double scale = 1.0) {
  const auto dtype = static_cast<uint32_t>(bucket.dtype);
  const auto count = static_cast<uint32_t>(bucket.segments.size());
  return {bucket.segments.data(), count, 0, room.data(), bucket.elements, dtype, dtype, scale, {}};
}

/// Puts a bucket into `room`, on the stream. Throws Error.
inline bool pack(const Device& device, const DeviceBucket& bucket, MutableByteSpan room,
                 void* stream) {
  const RsMove move = move_of(bucket, room);
  device.require(device.api().pack(&move, stream), "arrays cannot be packed");
  return true;
}

/// And back, multiplied by `scale`. Throws Error.
inline bool unpack(const Device& device, const DeviceBucket& bucket, MutableByteSpan room,
                   double scale, void* stream) {
  const RsMove move = move_of(bucket, room, scale);
  device.require(device.api().unpack(&move, stream), "results cannot be unpacked");
  return true;
}

/// Copies whole arrays. Throws Error.
inline void copy(const Device& device, std::byte* to, ByteSpan from, void* stream,
                 const char* what) {
  if (from.empty()) return;
  device.require(device.api().copy(to, from.data(), from.size(), stream), what);
}

}  // namespace ringsync
