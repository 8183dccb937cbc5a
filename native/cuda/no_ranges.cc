// Without NVTX's headers tools see CUDA's own calls and kernels, and no names of ours.

#include "cuda/ranges.h"

namespace ringsync::cuda {

RsStatus range_begin(const char* name) { return name != nullptr ? kRsOk : kRsBadArgument; }

RsStatus range_end() { return kRsOk; }

}  // namespace ringsync::cuda
