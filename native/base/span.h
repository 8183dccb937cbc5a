#pragma once

// Bytes as they pass between floors: always a span, never a pointer and a length.

#include <cstddef>
#include <span>

namespace ringsync {

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

inline bool overlap(ByteSpan a, ByteSpan b) {
  return a.data() < b.data() + b.size() && b.data() < a.data() + a.size();
}

/// What the kernel maps, pins and hands over, on x86 and on most ARM machines.
inline constexpr size_t kPageBytes = 4096;

/// x86 and most ARM cores share memory between cores in lines of 64 bytes.
inline constexpr size_t kCacheLineBytes = 64;

constexpr size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace ringsync
