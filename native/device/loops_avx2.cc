// The loops for 256-bit vectors; CMakeLists.txt holds the flags.

#include "device/loop_bodies.h"
#include "device/stream_body.h"

namespace ringsync {

Loops avx2_loops(Dtype dtype, ReduceOp op) { return loops_of(dtype, op); }

void avx2_stream(void* to, const void* from, size_t bytes) { stream(to, from, bytes); }

}  // namespace ringsync
