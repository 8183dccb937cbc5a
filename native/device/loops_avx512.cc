// The loops for 512-bit vectors; CMakeLists.txt holds the flags.

#include "device/loop_bodies.h"
#include "device/stream_body.h"

namespace ringsync {

Loops avx512_loops(Dtype dtype, ReduceOp op) { return loops_of(dtype, op); }

void avx512_stream(void* to, const void* from, size_t bytes) { stream(to, from, bytes); }

}  // namespace ringsync
