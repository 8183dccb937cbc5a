#include "fusion/bucket.h"

#include <algorithm>
#include <numeric>

namespace ringsync {

std::vector<std::vector<size_t>> assign_buckets(const std::vector<size_t>& sizes_bytes,
                                                size_t limit_bytes, size_t least) {
  const size_t total = std::accumulate(sizes_bytes.begin(), sizes_bytes.end(), size_t{0});
  const size_t limit = std::min(limit_bytes, total / std::max<size_t>(least, 1));
  std::vector<std::vector<size_t>> buckets;
  size_t filled = 0;
  for (size_t i = 0; i < sizes_bytes.size(); ++i) {
    if (buckets.empty() || filled + sizes_bytes[i] > limit) {
      buckets.emplace_back();
      filled = 0;
    }
    buckets.back().push_back(i);
    filled += sizes_bytes[i];
  }
  return buckets;
}

}  // namespace ringsync
