#pragma once

// Sums of host memory. Which ranks take part and in which order is decided by schedules.

#include <cstdint>
#include <span>

#include "base/dtype.h"
#include "base/span.h"

namespace ringsync {

/// destination[i] = (sources[0][i] + sources[1][i] + ...) / divisor, added in listed order.
/// Floats are multiplied by 1/divisor; integers wrap on overflow and divide truly, toward zero.
/// All spans have equal length; `destination` may be exactly one of the sources. One thread.
void reduce(Dtype dtype, MutableByteSpan destination, std::span<const ByteSpan> sources,
            int64_t divisor);

}  // namespace ringsync
