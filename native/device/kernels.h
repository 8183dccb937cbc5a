#pragma once

// The kernels of this build. CMake picks kernels_x86.cc or kernels_plain.cc.

#include <string_view>
#include <vector>

#include "device/loops.h"

namespace ringsync {

/// Kernels differ in speed only: their results have equal bits (but for a NaN's).
struct Kernel {
  std::string_view name;
  Loops (*loops)(Dtype dtype, ReduceOp op) = nullptr;
  StreamCopy stream = nullptr;
};

/// Those that this processor runs, the widest first and `plain` last.
std::vector<Kernel> runnable_kernels();

}  // namespace ringsync
