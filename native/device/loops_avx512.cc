// The loops for 512-bit vectors; CMakeLists.txt holds the flags.

#include "device/loop_bodies.h"

namespace ringsync {

Loops avx512_loops(Dtype dtype, ReduceOp op) { return loops_of(dtype, op); }

}  // namespace ringsync
