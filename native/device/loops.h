#pragma once

// The loops that touch every element, as one kernel offers them. Which loop runs over which block
// is host_reduce's matter.

#include <cstddef>

#include "base/dtype.h"
#include "device/reduction.h"

namespace ringsync {

/// Of one dtype and one op. Sources and destinations hold the dtype; partial results hold the type
/// that is computed in, which is float32 for float16 and bfloat16, else the dtype. A destination
/// may be exactly one of the sources; `second` may be null.
struct Loops {
  size_t partial_bytes = 0;
  /// partial = left op right.
  void (*begin)(void* partial, const void* left, const void* right, size_t count) = nullptr;
  /// partial = partial op next.
  void (*extend)(void* partial, const void* next, size_t count) = nullptr;
  /// first = second = left op right, scaled.
  void (*finish_pair)(void* first, void* second, const void* left, const void* right, size_t count,
                      const Reduction& reduction) = nullptr;
  /// first = second = partial op next, scaled.
  void (*finish)(void* first, void* second, const void* partial, const void* next, size_t count,
                 const Reduction& reduction) = nullptr;
  /// destination = source, scaled.
  void (*scale)(void* destination, const void* source, size_t count,
                const Reduction& reduction) = nullptr;
};

/// Copies `bytes` to a place that is a multiple of a cache line. It passes the caches by, which
/// else would first read what is overwritten; other threads see it when this returns.
using StreamCopy = void (*)(void* to, const void* from, size_t bytes);

/// Equal source text, compiled for processors with and without wide vectors. Where a kernel is not
/// built, its function is not there.
Loops plain_loops(Dtype dtype, ReduceOp op);
Loops avx2_loops(Dtype dtype, ReduceOp op);
Loops avx512_loops(Dtype dtype, ReduceOp op);
void plain_stream(void* to, const void* from, size_t bytes);
void avx2_stream(void* to, const void* from, size_t bytes);
void avx512_stream(void* to, const void* from, size_t bytes);

}  // namespace ringsync
