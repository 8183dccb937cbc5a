#pragma once

// Reductions and copies of host memory. Which ranks take part and in which order is decided by
// schedules.

#include <span>

#include "base/dtype.h"
#include "base/span.h"
#include "device/kernels.h"
#include "device/reduction.h"

namespace ringsync {

/// Every destination[i] = (sources[0][i] + sources[1][i] + ...), or with the op in place of +,
/// in listed order, then scaled. Of Min and Max, NaN is the result wherever there is one, and -0 is
/// below +0. Floats are multiplied by factor/divisor; float16 and bfloat16 are reduced and scaled
/// in float32 and rounded once per call; integers wrap on overflow and are divided by divisor
/// truly, toward zero; where there is a factor too, in double, and what is out of range becomes the
/// nearest in range. All spans have equal length; each destination may be
/// exactly one of the sources. Two destinations cost one pass; further ones are copied while the
/// block is in the first-level cache. One thread; runs the widest kernel of this processor.
void reduce(Dtype dtype, const Reduction& reduction, std::span<const MutableByteSpan> destinations,
            std::span<const ByteSpan> sources);

/// As above with a kernel that the caller has chosen.
void reduce(const Kernel& kernel, Dtype dtype, const Reduction& reduction,
            std::span<const MutableByteSpan> destinations, std::span<const ByteSpan> sources);

/// Copies past the caches to where nobody looks soon; spans of equal length that do not overlap.
void copy_past_caches(const Kernel& kernel, MutableByteSpan to, ByteSpan from);

}  // namespace ringsync
