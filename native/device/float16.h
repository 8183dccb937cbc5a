#pragma once

// IEEE 754 binary16 in memory, float32 in registers. Written out because GCC 12 has no such type in
// C++; branches are selections, so that loops over it become vectors.

#include <bit>
#include <cstdint>

namespace ringsync {

struct Float16 {
  uint16_t bits;
};

/// Exact.
inline float widen(Float16 half) {
  const uint32_t sign = (half.bits & 0x8000u) << 16;
  const uint32_t magnitude = half.bits & 0x7fffu;
  // Half the exponent's range lies 112 above float32's; infinity and NaN are 112 further up.
  const uint32_t shifted = (magnitude << 13) + (112u << 23);
  const uint32_t special = shifted + (112u << 23);
  // Subnormals are multiples of 2^-24.
  const auto subnormal = std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
  const uint32_t finite = magnitude < 0x0400u ? subnormal : shifted;
  return std::bit_cast<float>(sign | (magnitude >= 0x7c00u ? special : finite));
}

/// To nearest, ties to even; above 65504 as that rounds, to infinity; NaN stays NaN.
inline Float16 narrow(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Adding just below half a unit, and the kept low bit, rounds ties to even; a carry out of the
  // mantissa is the next exponent.
  const uint32_t normal = (magnitude - (112u << 23) + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  // Below 2^-14 the sum with 0.5 has the unit 2^-24, so that the addition itself rounds.
  const float raised = std::bit_cast<float>(magnitude) + 0.5f;
  const uint32_t subnormal = std::bit_cast<uint32_t>(raised) - std::bit_cast<uint32_t>(0.5f);
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t special =
      magnitude > 0x7f800000u ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : 0x7c00u;
  // 0x477ff000 is 65520, the first that rounds to infinity.
  return {static_cast<uint16_t>(sign | (magnitude >= 0x477ff000u ? special : finite))};
}

}  // namespace ringsync
