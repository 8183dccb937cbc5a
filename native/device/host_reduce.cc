#include "device/host_reduce.h"

#include <algorithm>
#include <cstring>

namespace ringsync {
namespace {

/// Partial results of more than two sources are kept in a block this large: 8 KiB of the 32 to
/// 48 KiB of a core's first-level cache, so that they never leave it.
constexpr size_t kBlockBytes = 8 * 1024;

/// From two sources on.
void reduce_block(const Loops& loops, const Reduction& reduction, void* first, void* second,
                  std::span<const ByteSpan> sources, size_t offset, size_t length) {
  const auto at = [&](size_t k) { return sources[k].data() + offset; };
  if (sources.size() == 2) {
    return loops.finish_pair(first, second, at(0), at(1), length, reduction);
  }
  alignas(kCacheLineBytes) std::byte partial[kBlockBytes];
  loops.begin(partial, at(0), at(1), length);
  // Destinations are written only with the last source: they may be among the sources.
  const size_t last = sources.size() - 1;
  for (size_t k = 2; k < last; ++k) loops.extend(partial, at(k), length);
  loops.finish(first, second, partial, at(last), length, reduction);
}

}  // namespace

void reduce(Dtype dtype, const Reduction& reduction, std::span<const MutableByteSpan> destinations,
            std::span<const ByteSpan> sources) {
  static const Kernel kernel = runnable_kernels().front();
  reduce(kernel, dtype, reduction, destinations, sources);
}

void reduce(const Kernel& kernel, Dtype dtype, const Reduction& reduction,
            std::span<const MutableByteSpan> destinations, std::span<const ByteSpan> sources) {
  const Loops loops = kernel.loops(dtype, reduction.op);
  const bool is_scaled = reduction.factor != 1 || reduction.divisor != 1;
  const bool is_fused = destinations.size() > 1 && sources.size() > 1;
  const size_t width = size_bytes(dtype);
  const size_t count = destinations[0].size() / width;
  const size_t block = kBlockBytes / loops.partial_bytes;
  for (size_t begin = 0; begin < count; begin += block) {
    const size_t length = std::min(block, count - begin);
    const size_t offset = begin * width;
    std::byte* const first = destinations[0].data() + offset;
    std::byte* const second = is_fused ? destinations[1].data() + offset : nullptr;
    if (sources.size() > 1) {
      reduce_block(loops, reduction, first, second, sources, offset, length);
    } else if (is_scaled) {
      loops.scale(first, sources[0].data() + offset, length, reduction);
    } else {
      std::memmove(first, sources[0].data() + offset, length * width);
    }
    for (const MutableByteSpan other : destinations.subspan(is_fused ? 2 : 1)) {
      std::memcpy(other.data() + offset, first, length * width);
    }
  }
}

void copy_past_caches(const Kernel& kernel, MutableByteSpan to, ByteSpan from) {
  const size_t misplaced = reinterpret_cast<uintptr_t>(to.data()) % kCacheLineBytes;
  const size_t head = std::min(from.size(), misplaced == 0 ? 0 : kCacheLineBytes - misplaced);
  if (head > 0) std::memcpy(to.data(), from.data(), head);
  kernel.stream(to.data() + head, from.data() + head, from.size() - head);
}

}  // namespace ringsync
