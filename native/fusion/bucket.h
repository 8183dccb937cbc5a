#pragma once

// Which tensors travel together: a pure function of their sizes, so every rank finds the same
// buckets without a word.

#include <cstddef>
#include <vector>

namespace ringsync {

/// Cuts tensors, in expected order of readiness, into buckets of consecutive ones. A bucket holds
/// at most `limit_bytes`, or one larger tensor. The limit is lowered to total/`least` so that there
/// are at least that many buckets, as far as single tensors allow: with one bucket nothing could
/// overlap.
std::vector<std::vector<size_t>> assign_buckets(const std::vector<size_t>& sizes_bytes,
                                                size_t limit_bytes, size_t least);

}  // namespace ringsync
