#include "values.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "device/narrow_floats.h"

namespace fake_nccl {

using namespace ringsync::nccl;
using ringsync::Bfloat16;
using ringsync::Float16;

namespace {

template <typename T>
auto widened(T value) {
  if constexpr (std::is_enum_v<T>) {
    return ringsync::widen(value);
  } else {
    return value;
  }
}

template <typename T, typename Wide>
T narrowed(Wide value) {
  if constexpr (std::is_same_v<T, Float16>) {
    return ringsync::narrow_to_float16(value);
  } else if constexpr (std::is_same_v<T, Bfloat16>) {
    return ringsync::narrow_to_bfloat16(value);
  } else {
    return value;
  }
}

/// Integers wrap, which is not defined of signed ones.
template <typename T>
T combined(RedOp op, T left, T right) {
  using Plain = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                            std::type_identity<T>>::type;
  const auto a = static_cast<Plain>(left);
  const auto b = static_cast<Plain>(right);
  switch (op) {
    case kSum:
      return static_cast<T>(a + b);
    case kProd:
      return static_cast<T>(a * b);
    case kMax:
      return std::max(left, right);
    case kMin:
      return std::min(left, right);
    case kAvg:
      break;
  }
  __builtin_unreachable();
}

template <typename T>
void reduce_as(RedOp op, const std::vector<std::vector<std::byte>>& inputs, size_t offset,
               std::span<std::byte> to) {
  const auto value_at = [&](size_t rank, size_t at) {
    T value;
    std::memcpy(&value, inputs[rank].data() + offset + at, sizeof(T));
    return widened(value);
  };
  for (size_t at = 0; at < to.size(); at += sizeof(T)) {
    auto total = value_at(0, at);
    for (size_t rank = 1; rank < inputs.size(); ++rank) {
      total = combined(op == kAvg ? kSum : op, total, value_at(rank, at));
    }
    if (op == kAvg) total /= static_cast<decltype(total)>(inputs.size());
    const T value = narrowed<T>(total);
    std::memcpy(to.data() + at, &value, sizeof(T));
  }
}

}  // namespace

size_t bytes_of(DataType type) {
  switch (type) {
    case kInt8:
    case kUint8:
      return 1;
    case kFloat16:
    case kBfloat16:
      return 2;
    case kInt32:
    case kFloat32:
      return 4;
    case kInt64:
    case kFloat64:
      return 8;
  }
  __builtin_unreachable();
}

void reduce(DataType type, RedOp op, const std::vector<std::vector<std::byte>>& inputs,
            size_t offset, std::span<std::byte> to) {
  switch (type) {
    case kInt8:
      return reduce_as<int8_t>(op, inputs, offset, to);
    case kUint8:
      return reduce_as<uint8_t>(op, inputs, offset, to);
    case kInt32:
      return reduce_as<int32_t>(op, inputs, offset, to);
    case kInt64:
      return reduce_as<int64_t>(op, inputs, offset, to);
    case kFloat16:
      return reduce_as<Float16>(op, inputs, offset, to);
    case kBfloat16:
      return reduce_as<Bfloat16>(op, inputs, offset, to);
    case kFloat32:
      return reduce_as<float>(op, inputs, offset, to);
    case kFloat64:
      return reduce_as<double>(op, inputs, offset, to);
  }
}

}  // namespace fake_nccl
