#include "device/kernels.h"

namespace ringsync {

std::vector<Kernel> runnable_kernels() {
  std::vector<Kernel> kernels;
  // What the flags in CMakeLists.txt let the compiler use; also false where the operating system
  // does not save such registers.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    kernels.push_back({"avx512", &avx512_loops, &avx512_stream});
  }
  if (__builtin_cpu_supports("avx2")) kernels.push_back({"avx2", &avx2_loops, &avx2_stream});
  kernels.push_back({"plain", &plain_loops, &plain_stream});
  return kernels;
}

}  // namespace ringsync
