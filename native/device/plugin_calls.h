#pragma once

// From a call of the table to kernels: whether its arguments make sense, of which types it is, and
// into which launches it falls. Every plug-in launches in its own way.

#include <algorithm>
#include <cstdint>
#include <span>

#include "device/plugin_abi.h"
#include "device/plugin_bodies.h"

namespace ringsync::plugin {

/// A multiple of every vector's width; 256 bytes of float32, the alignment that tensors have
/// anyway.
inline constexpr uint32_t kSpanQuantum = 64;
inline constexpr uint64_t kMostElements = uint64_t{1} << 31;
/// Of a device's block, and of the numbers of blocks.
inline constexpr uint32_t kMostThreads = 512;
inline constexpr uint32_t kMostBlocks = 0x7fffffff;

/// All that kernels know.
inline constexpr uint32_t kDtypes[] = {kRsInt32,   kRsInt64,   kRsFloat32,
                                       kRsFloat64, kRsFloat16, kRsBfloat16};

/// How a launch is cut.
struct Cut {
  uint32_t blocks;
  uint32_t threads;
  uint32_t lanes;
  uint32_t span;
};

/// kRsOk, or what is wrong with it. A table on the device is trusted.
inline RsStatus check(const RsMove& move) {
  if (move.segment_count == 0) return kRsOk;
  if (move.segments == nullptr || move.fused == nullptr) return kRsBadArgument;
  if (move.fused_elements > kMostElements) return kRsTooLarge;
  if (move.is_table_on_device != 0) return kRsOk;
  uint64_t end = 0;
  for (const RsSegment& segment : std::span(move.segments, move.segment_count)) {
    if (segment.first < end) return kRsBadSegments;
    if (segment.count > 0 && segment.tensor == nullptr) return kRsBadArgument;
    end = uint64_t{segment.first} + segment.count;
  }
  return end > move.fused_elements ? kRsBadSegments : kRsOk;
}

inline RsStatus check(const RsSum& sum) {
  if (sum.source_count == 0 || sum.source_count > kRsMostPeers) return kRsBadArgument;
  if (sum.count == 0) return kRsOk;
  if (sum.destination == nullptr) return kRsBadArgument;
  const auto sources = std::span(sum.sources, sum.source_count);
  return std::ranges::count(sources, nullptr) == 0 ? kRsOk : kRsBadArgument;
}

/// How to cut a launch over `count` elements of `element_bytes`.
inline Cut cut(const RsShape& asked, const RsShape& usual, uint64_t count, uint32_t element_bytes) {
  const auto chosen = [](uint32_t one, uint32_t other) { return one != 0 ? one : other; };
  const uint32_t threads = std::min(chosen(asked.block_threads, usual.block_threads), kMostThreads);
  const uint32_t wanted = chosen(asked.team_threads, usual.team_threads);
  // Threads beside the last whole team would be a team of another block once more.
  const uint32_t lanes = wanted < threads && threads % wanted == 0 ? wanted : threads;
  const uint32_t span_bytes = chosen(asked.span_bytes, usual.span_bytes);
  const uint32_t quanta = span_bytes / element_bytes / kSpanQuantum;
  const uint32_t span = std::max(1u, quanta) * kSpanQuantum;
  const uint64_t block = uint64_t{span} * (threads / lanes);
  const uint64_t blocks = (count + block - 1) / block;
  const uint32_t most = chosen(asked.most_blocks, chosen(usual.most_blocks, kMostBlocks));
  return {static_cast<uint32_t>(std::clamp<uint64_t>(blocks, 1, most)), threads, lanes, span};
}

/// Some segments of a table, as a launch takes them: without empty ones, and counted from the
/// first.
struct Part {
  /// Segments of the table that are done with, these included.
  uint32_t done;
  uint32_t count;
  uint32_t first;
  uint32_t total;
};

/// Fills `entries` with the segments from `done` on that fit.
inline Part take_part(const RsMove& move, uint32_t done, std::span<RsSegment> entries) {
  Part part{done, 0, 0, 0};
  while (part.done < move.segment_count && part.count < entries.size()) {
    const RsSegment& segment = move.segments[part.done++];
    if (segment.count == 0) continue;
    if (part.count == 0) part.first = segment.first;
    entries[part.count] = {segment.tensor, segment.first - part.first, segment.count};
    part.total = segment.first - part.first + segment.count;
    ++part.count;
  }
  return part;
}

/// Calls `launch.template operator()<From, To>(scale)` with the types of a move.
template <typename Arithmetic, typename Launch>
RsStatus with_types_of(const RsMove& move, bool is_pack, const Launch& launch) {
  using Float16 = typename Arithmetic::Float16;
  using Bfloat16 = typename Arithmetic::Bfloat16;
  const auto scale = static_cast<float>(move.scale);
  const uint32_t from = is_pack ? move.tensor_dtype : move.fused_dtype;
  const uint32_t to = is_pack ? move.fused_dtype : move.tensor_dtype;
  if (from == to) {
    switch (from) {
      case kRsFloat32:
        return launch.template operator()<float, float>(scale);
      case kRsFloat64:
        return launch.template operator()<double, double>(move.scale);
      case kRsFloat16:
        return launch.template operator()<Float16, Float16>(scale);
      case kRsBfloat16:
        return launch.template operator()<Bfloat16, Bfloat16>(scale);
      case kRsInt32:
        if (move.scale != 1.0) return kRsBadTypes;
        return launch.template operator()<uint32_t, uint32_t>(Unscaled());
      case kRsInt64:
        if (move.scale != 1.0) return kRsBadTypes;
        return launch.template operator()<uint64_t, uint64_t>(Unscaled());
      default:
        return kRsBadTypes;
    }
  }
  if (from == kRsFloat32 && to == kRsFloat16) {
    return launch.template operator()<float, Float16>(scale);
  }
  if (from == kRsFloat32 && to == kRsBfloat16) {
    return launch.template operator()<float, Bfloat16>(scale);
  }
  if (from == kRsFloat16 && to == kRsFloat32) {
    return launch.template operator()<Float16, float>(scale);
  }
  if (from == kRsBfloat16 && to == kRsFloat32) {
    return launch.template operator()<Bfloat16, float>(scale);
  }
  return kRsBadTypes;
}

/// Calls `launch.template operator()<T>(scale)` with the type of a sum.
template <typename Arithmetic, typename Launch>
RsStatus with_type_of(const RsSum& sum, const Launch& launch) {
  const auto scale = static_cast<float>(sum.scale);
  switch (sum.dtype) {
    case kRsFloat32:
      return launch.template operator()<float>(scale);
    case kRsFloat64:
      return launch.template operator()<double>(sum.scale);
    case kRsFloat16:
      return launch.template operator()<typename Arithmetic::Float16>(scale);
    case kRsBfloat16:
      return launch.template operator()<typename Arithmetic::Bfloat16>(scale);
    case kRsInt32:
      return sum.scale == 1.0 ? launch.template operator()<uint32_t>(Unscaled()) : kRsBadTypes;
    case kRsInt64:
      return sum.scale == 1.0 ? launch.template operator()<uint64_t>(Unscaled()) : kRsBadTypes;
    default:
      return kRsBadTypes;
  }
}

template <typename Scale>
SumFrame<Scale> frame_of(const RsSum& sum, Scale scale) {
  SumFrame<Scale> frame{sum.destination, {}, sum.count, sum.source_count, scale};
  std::ranges::copy(std::span(sum.sources, sum.source_count), frame.sources);
  return frame;
}

/// A status of this ABI in words, for `describe`; null for others.
inline const char* words_of(RsStatus status) {
  switch (status) {
    case kRsOk:
      return "no error";
    case kRsNoDriver:
      return "no NVIDIA driver is loaded. Install one; start a container with --gpus all";
    case kRsDriverTooOld:
      return "the NVIDIA driver is older than the CUDA that the plug-in was built with. Update it";
    case kRsNoDevice:
      return "there is a driver and no device. Check CUDA_VISIBLE_DEVICES";
    case kRsBadArgument:
      return "an argument is null or out of range. Read plugin_abi.h";
    case kRsBadTypes:
      return "no kernel for these types, or integers with a scale. Read plugin_abi.h";
    case kRsBadSegments:
      return "segments overlap, are out of order or leave the fusion buffer. Sort them by place";
    case kRsTooLarge:
      return "more than 2^31 elements. Use smaller buckets";
    case kRsNotABase:
      return "only memory as it was allocated can be shared, no part of it. Share all of it";
    case kRsOwnMemory:
      return "memory of this very process. Use its address";
    case kRsNoStreamWaits:
      return "the driver has no cuStreamWaitValue32. Update it";
    case kRsAbandoned:
      return "a stream ended while it waited for a flag. Read the log of the rank that signals it";
    case kRsUnexpected:
      return "an exception inside the plug-in. Free memory, and check the limits of threads";
    case kRsNoMemory:
      return "there is not so much left, of the device or of what can be pinned. Free some of it";
    default:
      return nullptr;
  }
}

}  // namespace ringsync::plugin
