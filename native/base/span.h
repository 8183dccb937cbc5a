#pragma once

// Bytes as they pass between floors: always a span, never a pointer and a length.

#include <cstddef>
#include <span>

namespace ringsync {

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

/// x86 and most ARM cores share memory between cores in lines of 64 bytes.
inline constexpr size_t kCacheLineBytes = 64;

constexpr size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace ringsync
