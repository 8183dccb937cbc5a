#include "device/host_reduce.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/error.h"

namespace ringsync {
namespace {

/// Partial sums of more than two sources are kept in a block this large: 8 KiB of the 32 to
/// 48 KiB of a core's first-level cache, so that they never leave it.
constexpr size_t kBlockBytes = 8 * 1024;

/// Integers are added as unsigned, where overflow wraps instead of being undefined.
template <typename T>
T add(T left, T right) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(left) + static_cast<U>(right));
  } else {
    return left + right;
  }
}

// Every loop reads element i of all sources before it writes element i, so exact aliasing is no
// loop-carried dependency; `ivdep` says so.

template <typename T>
void add_into(T* destination, const T* left, const T* right, size_t count) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) destination[i] = add(left[i], right[i]);
}

/// As add_into, for both destinations in one pass over the sources.
template <typename T>
void add_into_both(T* first, T* second, const T* left, const T* right, size_t count) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) {
    const T sum = add(left[i], right[i]);
    first[i] = sum;
    second[i] = sum;
  }
}

template <typename T>
void scale(T* values, size_t count, const Reduction& reduction) {
  if constexpr (std::is_integral_v<T>) {
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<T>(values[i] / reduction.divisor);
  } else {
    const T factor = static_cast<T>(reduction.factor / static_cast<double>(reduction.divisor));
    for (size_t i = 0; i < count; ++i) values[i] *= factor;
  }
}

template <typename T>
const T* at(ByteSpan source, size_t element) {
  return reinterpret_cast<const T*>(source.data()) + element;
}

template <typename T>
T* at(MutableByteSpan destination, size_t element) {
  return reinterpret_cast<T*>(destination.data()) + element;
}

template <typename T>
void reduce_as(const Reduction& reduction, std::span<const MutableByteSpan> destinations,
               std::span<const ByteSpan> sources) {
  constexpr size_t kBlock = kBlockBytes / sizeof(T);
  alignas(kCacheLineBytes) T block[kBlock];
  const size_t count = destinations[0].size() / sizeof(T);
  const bool is_scaled = reduction.factor != 1 || reduction.divisor != 1;
  const bool is_fused = destinations.size() == 2 && sources.size() > 1 && !is_scaled;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    T* const out = at<T>(destinations[0], begin);
    const T* partial = at<T>(sources[0], begin);
    const size_t last = sources.size() - 1;
    for (size_t k = 1; k < last; ++k) {
      // Destinations are written only with the last source: they may be among the sources.
      add_into(block, partial, at<T>(sources[k], begin), length);
      partial = block;
    }
    if (is_fused) {
      T* const second = at<T>(destinations[1], begin);
      add_into_both(out, second, partial, at<T>(sources[last], begin), length);
      continue;
    }
    if (last > 0) add_into(out, partial, at<T>(sources[last], begin), length);
    if (last == 0) std::memmove(out, partial, length * sizeof(T));
    if (is_scaled) scale(out, length, reduction);
    for (const MutableByteSpan other : destinations.subspan(1)) {
      std::memcpy(at<T>(other, begin), out, length * sizeof(T));
    }
  }
}

}  // namespace

void reduce(Dtype dtype, const Reduction& reduction, std::span<const MutableByteSpan> destinations,
            std::span<const ByteSpan> sources) {
  switch (dtype) {
    case Dtype::kFloat32:
      return reduce_as<float>(reduction, destinations, sources);
    case Dtype::kFloat64:
      return reduce_as<double>(reduction, destinations, sources);
    case Dtype::kInt32:
      return reduce_as<int32_t>(reduction, destinations, sources);
    case Dtype::kInt64:
      return reduce_as<int64_t>(reduction, destinations, sources);
    case Dtype::kUint8:
      throw ConfigError("[reduce] uint8 cannot be summed. Use int32 or a floating dtype.");
  }
}

}  // namespace ringsync
