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

template <typename T>
void divide(T* values, size_t count, int64_t divisor) {
  if constexpr (std::is_integral_v<T>) {
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<T>(values[i] / divisor);
  } else {
    const T factor = T{1} / static_cast<T>(divisor);
    for (size_t i = 0; i < count; ++i) values[i] *= factor;
  }
}

template <typename T>
const T* at(ByteSpan source, size_t element) {
  return reinterpret_cast<const T*>(source.data()) + element;
}

template <typename T>
void reduce_as(MutableByteSpan destination, std::span<const ByteSpan> sources, int64_t divisor) {
  constexpr size_t kBlock = kBlockBytes / sizeof(T);
  alignas(kCacheLineBytes) T block[kBlock];
  T* const out = reinterpret_cast<T*>(destination.data());
  const size_t count = destination.size() / sizeof(T);
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    const T* partial = at<T>(sources[0], begin);
    for (size_t k = 1; k < sources.size(); ++k) {
      // The destination is written only with the last source: it may be one of them.
      T* const target = k + 1 == sources.size() ? out + begin : block;
      add_into(target, partial, at<T>(sources[k], begin), length);
      partial = target;
    }
    if (partial != out + begin) std::memmove(out + begin, partial, length * sizeof(T));
    if (divisor != 1) divide(out + begin, length, divisor);
  }
}

}  // namespace

void reduce(Dtype dtype, MutableByteSpan destination, std::span<const ByteSpan> sources,
            int64_t divisor) {
  switch (dtype) {
    case Dtype::kFloat32:
      return reduce_as<float>(destination, sources, divisor);
    case Dtype::kFloat64:
      return reduce_as<double>(destination, sources, divisor);
    case Dtype::kInt32:
      return reduce_as<int32_t>(destination, sources, divisor);
    case Dtype::kInt64:
      return reduce_as<int64_t>(destination, sources, divisor);
    case Dtype::kUint8:
      throw ConfigError("[reduce] uint8 cannot be summed. Use int32 or a floating dtype.");
  }
}

}  // namespace ringsync
