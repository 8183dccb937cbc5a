#include "device/host_reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "device/float16.h"

namespace ringsync {
namespace {

/// Partial results of more than two sources are kept in a block this large: 8 KiB of the 32 to
/// 48 KiB of a core's first-level cache, so that they never leave it.
constexpr size_t kBlockBytes = 8 * 1024;

/// Integers are added and multiplied in this type, where overflow wraps instead of being undefined.
/// No narrower than unsigned: what is narrower would be promoted to int.
template <typename T>
using Wrapping = std::common_type_t<std::make_unsigned_t<T>, unsigned>;

struct Add {
  template <typename T>
  T operator()(T left, T right) const {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(static_cast<Wrapping<T>>(left) + static_cast<Wrapping<T>>(right));
    } else {
      return left + right;
    }
  }
};

struct Multiply {
  template <typename T>
  T operator()(T left, T right) const {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(static_cast<Wrapping<T>>(left) * static_cast<Wrapping<T>>(right));
    } else {
      return left * right;
    }
  }
};

/// Min and Max of floats differ from std::min and std::max: neither may depend on which operand
/// holds the NaN or the negative zero, or ranks that reduce in another order would disagree.
struct Lesser {
  template <typename T>
  T operator()(T left, T right) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(left)) return left;
      if (left == right) return std::signbit(left) ? left : right;
    }
    return left < right ? left : right;
  }
};

struct Greater {
  template <typename T>
  T operator()(T left, T right) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(left)) return left;
      if (left == right) return std::signbit(left) ? right : left;
    }
    return left > right ? left : right;
  }
};

// Every loop reads element i of all sources before it writes element i, so exact aliasing is no
// loop-carried dependency; `ivdep` says so.

template <typename Combine, typename T>
void combine_into(T* destination, const T* left, const T* right, size_t count) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) destination[i] = Combine()(left[i], right[i]);
}

/// As combine_into, for both destinations in one pass over the sources.
template <typename Combine, typename T>
void combine_into_both(T* first, T* second, const T* left, const T* right, size_t count) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) {
    const T result = Combine()(left[i], right[i]);
    first[i] = result;
    second[i] = result;
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

template <typename Combine, typename T>
void reduce_with(const Reduction& reduction, std::span<const MutableByteSpan> destinations,
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
      combine_into<Combine>(block, partial, at<T>(sources[k], begin), length);
      partial = block;
    }
    if (is_fused) {
      T* const second = at<T>(destinations[1], begin);
      combine_into_both<Combine>(out, second, partial, at<T>(sources[last], begin), length);
      continue;
    }
    if (last > 0) combine_into<Combine>(out, partial, at<T>(sources[last], begin), length);
    if (last == 0) std::memmove(out, partial, length * sizeof(T));
    if (is_scaled) scale(out, length, reduction);
    for (const MutableByteSpan other : destinations.subspan(1)) {
      std::memcpy(at<T>(other, begin), out, length * sizeof(T));
    }
  }
}

void widen_all(float* destination, const Float16* source, size_t count) {
  for (size_t i = 0; i < count; ++i) destination[i] = widen(source[i]);
}

/// As reduce_with, in float32 from the first source to the scaled result, which is rounded once.
template <typename Combine>
void reduce_halves(const Reduction& reduction, std::span<const MutableByteSpan> destinations,
                   std::span<const ByteSpan> sources) {
  constexpr size_t kBlock = kBlockBytes / sizeof(float) / 2;  // two blocks share the room of one
  alignas(kCacheLineBytes) float partial[kBlock];
  alignas(kCacheLineBytes) float next[kBlock];
  const size_t count = destinations[0].size() / sizeof(Float16);
  const bool is_scaled = reduction.factor != 1 || reduction.divisor != 1;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    widen_all(partial, at<Float16>(sources[0], begin), length);
    for (const ByteSpan source : sources.subspan(1)) {
      widen_all(next, at<Float16>(source, begin), length);
      combine_into<Combine>(partial, partial, next, length);
    }
    if (is_scaled) scale(partial, length, reduction);
    Float16* const out = at<Float16>(destinations[0], begin);
    for (size_t i = 0; i < length; ++i) out[i] = narrow(partial[i]);
    for (const MutableByteSpan other : destinations.subspan(1)) {
      std::memcpy(at<Float16>(other, begin), out, length * sizeof(Float16));
    }
  }
}

template <typename Combine, typename T>
void reduce_by(const Reduction& reduction, std::span<const MutableByteSpan> destinations,
               std::span<const ByteSpan> sources) {
  if constexpr (std::is_same_v<T, Float16>) {
    reduce_halves<Combine>(reduction, destinations, sources);
  } else {
    reduce_with<Combine, T>(reduction, destinations, sources);
  }
}

template <typename T>
void reduce_as(const Reduction& reduction, std::span<const MutableByteSpan> destinations,
               std::span<const ByteSpan> sources) {
  switch (reduction.op) {
    case ReduceOp::kAverage:
    case ReduceOp::kSum:
      return reduce_by<Add, T>(reduction, destinations, sources);
    case ReduceOp::kMin:
      return reduce_by<Lesser, T>(reduction, destinations, sources);
    case ReduceOp::kMax:
      return reduce_by<Greater, T>(reduction, destinations, sources);
    case ReduceOp::kProduct:
      return reduce_by<Multiply, T>(reduction, destinations, sources);
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
    case Dtype::kInt8:
      return reduce_as<int8_t>(reduction, destinations, sources);
    case Dtype::kInt16:
      return reduce_as<int16_t>(reduction, destinations, sources);
    case Dtype::kFloat16:
      return reduce_as<Float16>(reduction, destinations, sources);
    case Dtype::kUint8:
    case Dtype::kBool:  // 0 or 1 in a byte; of its ops only Min and Max come this far
      return reduce_as<uint8_t>(reduction, destinations, sources);
  }
}

}  // namespace ringsync
