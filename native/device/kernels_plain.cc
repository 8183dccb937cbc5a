#include "device/kernels.h"

namespace ringsync {

std::vector<Kernel> runnable_kernels() { return {{"plain", &plain_loops, &plain_stream}}; }

}  // namespace ringsync
