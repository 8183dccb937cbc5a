#pragma once

// How values of several ranks become one.

#include <cstdint>

namespace ringsync {

/// Values are part of the header that ranks exchange; append only, and as in
/// Python's ReduceOp. Adasum is none of the engine's: what is gathered for one bears its number, so
/// that it meets nothing else.
enum class ReduceOp : uint8_t {
  kAverage = 0,
  kSum = 1,
  kAdasum = 2,
  kMin = 3,
  kMax = 4,
  kProduct = 5
};

/// An op and what each finished element is then multiplied by and divided by.
struct Reduction {
  ReduceOp op = ReduceOp::kSum;
  double factor = 1;
  int64_t divisor = 1;
};

/// Both as one factor.
inline double scale_of(const Reduction& reduction) {
  return reduction.factor / static_cast<double>(reduction.divisor);
}

}  // namespace ringsync
