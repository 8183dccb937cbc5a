#pragma once

// Element types by number, so that no function carries a type in its name.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringsync {

/// Values are part of the header that ranks exchange; append only.
enum class Dtype : uint8_t {
  kUint8 = 0,
  kInt32 = 1,
  kInt64 = 2,
  kFloat32 = 3,
  kFloat64 = 4,
  kInt8 = 5,
  kInt16 = 6,
  kFloat16 = 7,
  kBool = 8,
  kBfloat16 = 9,
};

/// Numbers may come from elsewhere; all other functions want a known one.
inline bool is_known(Dtype dtype) { return dtype <= Dtype::kBfloat16; }
size_t size_bytes(Dtype dtype);
std::string_view name(Dtype dtype);
/// False for bool, which has a least and a greatest value, but no sum and no product.
bool is_summable(Dtype dtype);
bool is_floating(Dtype dtype);
/// Sums are made in float32, and lose digits each time they are rounded.
inline bool is_narrow(Dtype dtype) { return dtype == Dtype::kFloat16 || dtype == Dtype::kBfloat16; }

}  // namespace ringsync
