#pragma once

// What the loops do, compiled once per kernel with that kernel's instructions. Hence everything
// here is in an anonymous namespace and calls no inline function from elsewhere, not even std::min:
// the linker keeps one copy of such a function for all, and it may be one that this processor
// cannot run. For the same reason there are pointers here instead of spans.

#include <cstring>
#include <type_traits>

#include "device/loops.h"
#include "device/narrow_floats.h"

namespace ringsync {
namespace {

/// From memory to the type that is computed in, and back.
template <typename T>
T load(T value) {
  return value;
}
inline float load(Float16 half) { return widen(half); }
inline float load(Bfloat16 half) { return widen(half); }

template <typename T>
using Computed = decltype(load(T()));

template <typename T>
T store(Computed<T> value) {
  if constexpr (std::is_same_v<T, Float16>) {
    return narrow_to_float16(value);
  } else if constexpr (std::is_same_v<T, Bfloat16>) {
    return narrow_to_bfloat16(value);
  } else {
    return value;
  }
}

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

template <typename T>
using BitsOf = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

/// Min and Max of floats differ from std::min and std::max: neither may depend on which operand
/// holds the NaN or the negative zero, or ranks that reduce in another order would disagree. Equal
/// values differ at most in the sign of zero.
template <bool is_least, typename T>
T extreme(T left, T right) {
  const bool is_left = is_least ? left < right : left > right;
  if constexpr (std::is_integral_v<T>) {
    return is_left ? left : right;
  } else {
    const auto a = __builtin_bit_cast(BitsOf<T>, left);
    const auto b = __builtin_bit_cast(BitsOf<T>, right);
    const BitsOf<T> equal = is_least ? a | b : a & b;
    const BitsOf<T> number = choose(left == right, equal, choose(is_left, a, b));
    return __builtin_bit_cast(T, choose(left != left, a, number));
  }
}

struct Lesser {
  template <typename T>
  T operator()(T left, T right) const {
    return extreme<true>(left, right);
  }
};

struct Greater {
  template <typename T>
  T operator()(T left, T right) const {
    return extreme<false>(left, right);
  }
};

// Every loop reads element i of all sources before it writes element i, so exact aliasing is no
// loop-carried dependency; `ivdep` says so.

/// Toward zero, to the nearest value in range; of NaN, 0.
template <typename T>
T truncate(double value) {
  const double end =
      static_cast<double>(T{1} << (8 * sizeof(T) - 2)) * (std::is_signed_v<T> ? 2 : 4);
  constexpr T kLeast = std::is_signed_v<T> ? static_cast<T>(T{1} << (8 * sizeof(T) - 1)) : T{0};
  if (value >= end) return static_cast<T>(~kLeast);
  if (value <= static_cast<double>(kLeast)) return kLeast;
  return value == value ? static_cast<T>(value) : T{0};
}

template <typename T>
void scale(void* destination, const void* source, size_t count, const Reduction& reduction) {
  auto* const out = static_cast<T*>(destination);
  const auto* const in = static_cast<const T*>(source);
  const auto divisor = static_cast<double>(reduction.divisor);
  if constexpr (!std::is_integral_v<T>) {
    const auto factor = static_cast<Computed<T>>(reduction.factor / divisor);
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) out[i] = store<T>(load(in[i]) * factor);
  } else if (reduction.factor != 1) {
    const double factor = reduction.factor;
    for (size_t i = 0; i < count; ++i) {
      out[i] = truncate<T>(static_cast<double>(in[i]) * factor / divisor);
    }
  } else if constexpr (sizeof(T) < sizeof(double)) {
    // Exact: no quotient of such integers comes nearer to another integer than a double can tell.
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<T>(in[i] / divisor);
  } else {
    for (size_t i = 0; i < count; ++i) out[i] = in[i] / reduction.divisor;
  }
}

template <typename Combine, typename T>
void begin(void* partial, const void* left, const void* right, size_t count) {
  auto* const out = static_cast<Computed<T>*>(partial);
  const auto* const a = static_cast<const T*>(left);
  const auto* const b = static_cast<const T*>(right);
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) out[i] = Combine()(load(a[i]), load(b[i]));
}

template <typename Combine, typename T>
void extend(void* partial, const void* next, size_t count) {
  auto* const out = static_cast<Computed<T>*>(partial);
  const auto* const in = static_cast<const T*>(next);
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) out[i] = Combine()(out[i], load(in[i]));
}

/// Integers are scaled in a pass of their own.
template <typename T>
T scaled(T value, T factor) {
  if constexpr (std::is_integral_v<T>) {
    return value;
  } else {
    return value * factor;
  }
}

/// Both destinations in one pass, in which floats are scaled as well: to multiply by 1 changes no
/// number and costs nothing beside memory.
template <typename Combine, typename T, typename Left>
void finish(void* first, void* second, const void* left, const void* right, size_t count,
            const Reduction& reduction) {
  auto* const out = static_cast<T*>(first);
  auto* const other = static_cast<T*>(second);
  const auto* const a = static_cast<const Left*>(left);
  const auto* const b = static_cast<const T*>(right);
  const bool is_rescaled =
      std::is_integral_v<T> && (reduction.divisor != 1 || reduction.factor != 1);
  Computed<T> factor = 1;
  if constexpr (!std::is_integral_v<T>) {
    factor = static_cast<Computed<T>>(reduction.factor / static_cast<double>(reduction.divisor));
  }
  if (other == nullptr || is_rescaled) {
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) {
      out[i] = store<T>(scaled(Combine()(load(a[i]), load(b[i])), factor));
    }
  } else {
#pragma GCC ivdep
    for (size_t i = 0; i < count; ++i) {
      const T result = store<T>(scaled(Combine()(load(a[i]), load(b[i])), factor));
      out[i] = result;
      other[i] = result;
    }
  }
  if (is_rescaled) {
    scale<T>(first, first, count, reduction);
    if (other != nullptr) std::memcpy(other, out, count * sizeof(T));
  }
}

template <typename Combine, typename T>
Loops loops_with() {
  return {sizeof(Computed<T>),
          &begin<Combine, T>,
          &extend<Combine, T>,
          &finish<Combine, T, T>,
          &finish<Combine, T, Computed<T>>,
          &scale<T>};
}

template <typename T>
Loops loops_by(ReduceOp op) {
  switch (op) {
    case ReduceOp::kAverage:
    case ReduceOp::kAdasum:  // never asked for
    case ReduceOp::kSum:
      return loops_with<Add, T>();
    case ReduceOp::kMin:
      return loops_with<Lesser, T>();
    case ReduceOp::kMax:
      return loops_with<Greater, T>();
    case ReduceOp::kProduct:
      return loops_with<Multiply, T>();
  }
  __builtin_unreachable();
}

Loops loops_of(Dtype dtype, ReduceOp op) {
  switch (dtype) {
    case Dtype::kFloat32:
      return loops_by<float>(op);
    case Dtype::kFloat64:
      return loops_by<double>(op);
    case Dtype::kInt32:
      return loops_by<int32_t>(op);
    case Dtype::kInt64:
      return loops_by<int64_t>(op);
    case Dtype::kInt8:
      return loops_by<int8_t>(op);
    case Dtype::kInt16:
      return loops_by<int16_t>(op);
    case Dtype::kFloat16:
      return loops_by<Float16>(op);
    case Dtype::kBfloat16:
      return loops_by<Bfloat16>(op);
    case Dtype::kUint8:
    case Dtype::kBool:  // 0 or 1 in a byte; of its ops only Min and Max come this far
      return loops_by<uint8_t>(op);
  }
  __builtin_unreachable();
}

}  // namespace
}  // namespace ringsync
