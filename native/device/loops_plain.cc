// The loops for whatever the compiler takes for granted: SSE2 on x86-64, NEON on aarch64;
// CMakeLists.txt holds the flags.

#include "device/loop_bodies.h"
#include "device/stream_body.h"

namespace ringsync {

Loops plain_loops(Dtype dtype, ReduceOp op) { return loops_of(dtype, op); }

void plain_stream(void* to, const void* from, size_t bytes) { stream(to, from, bytes); }

}  // namespace ringsync
