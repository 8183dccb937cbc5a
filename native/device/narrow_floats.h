#pragma once

// 16-bit floats in memory, float32 in registers: IEEE 754 binary16, and bfloat16, the upper half of
// a float32. Written out because GCC 12 has no such types in C++; without a branch, so that loops
// over it become vectors. Compiled once per kernel, and therefore bound by the rule that
// loop_bodies.h states.

#include <cstdint>

namespace ringsync {
namespace {

/// A conditional expression of integers alone, which never becomes a branch around floating-point
/// arithmetic.
template <typename Bits>
Bits choose(bool is_first, Bits first, Bits second) {
  return is_first ? first : second;
}

/// Their bits. Enumerations, because the copying of structures keeps GCC from making vectors.
enum class Float16 : uint16_t {};
enum class Bfloat16 : uint16_t {};

// Signed integers, because AVX2 compares and converts no others.

/// Exact.
inline float widen(Float16 half) {
  const auto bits = static_cast<int32_t>(half);
  const int32_t magnitude = (bits & 0x7fff) << 13;
  // Half the exponent's range lies 112 above float32's; infinity and NaN are 112 further up.
  const int32_t offset = choose(magnitude >= 0x0f800000, 224 << 23, 112 << 23);
  // Subnormals lack the leading one: as if normal, and then without it.
  const float raised = __builtin_bit_cast(float, magnitude + (113 << 23)) - 0x1p-14f;
  const auto subnormal = __builtin_bit_cast(int32_t, raised);
  const int32_t value = choose(magnitude < 0x00800000, subnormal, magnitude + offset);
  return __builtin_bit_cast(float, value | (bits & 0x8000) << 16);
}

/// To nearest, ties to even; above 65504 as that rounds, to infinity; NaN stays NaN.
inline Float16 narrow_to_float16(float value) {
  const auto bits = __builtin_bit_cast(int32_t, value);
  const int32_t magnitude = bits & 0x7fffffff;
  // Adding just below half a unit, and the kept low bit, rounds ties to even; a carry out of the
  // mantissa is the next exponent.
  const int32_t normal = (magnitude - (112 << 23) + 0x0fff + ((magnitude >> 13) & 1)) >> 13;
  // Below 2^-14 the sum with 0.5 has the unit 2^-24, so that the addition itself rounds.
  const float raised = __builtin_bit_cast(float, magnitude) + 0.5f;
  const int32_t subnormal = __builtin_bit_cast(int32_t, raised) - 0x3f000000;
  const int32_t finite = choose(magnitude < 0x38800000, subnormal, normal);
  const int32_t special = choose(magnitude > 0x7f800000, 0x7e00, 0x7c00);
  // 0x477ff000 is 65520, the first that rounds to infinity.
  const int32_t unsigned_bits = choose(magnitude >= 0x477ff000, special, finite);
  return static_cast<Float16>(unsigned_bits | ((bits >> 16) & 0x8000));
}

/// Exact.
inline float widen(Bfloat16 half) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(half) << 16);
}

/// To nearest, ties to even; too large to infinity; NaN stays NaN.
inline Bfloat16 narrow_to_bfloat16(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<Bfloat16>(choose(value != value, (bits >> 16) | 0x0040u, rounded));
}

}  // namespace
}  // namespace ringsync
