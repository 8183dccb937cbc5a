#include "cuda/driver.h"

#include <cuda_runtime.h>

namespace ringsync::cuda {
namespace {

/// The versions of functions that CUDA 12 has; their types stand in `Driver`.
constexpr unsigned kVersion = 12000;

template <typename Function>
void find(const char* name, Function& function) {
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &address, kVersion, cudaEnableDefault, &found);
  if (error == cudaSuccess && found == cudaDriverEntryPointSuccess) {
    function = reinterpret_cast<Function>(address);
  }
}

Driver look_up() {
  Driver driver;
  find("cuStreamWaitValue32", driver.wait_value);
  find("cuMemGetAddressRange", driver.get_address_range);
  return driver;
}

}  // namespace

const Driver& driver() {
  static const Driver found = look_up();
  return found;
}

}  // namespace ringsync::cuda
