#pragma once

// What only the driver can do, asked for at run time: linking to it would keep the plug-in from
// loading where there is none.

#include <cuda.h>

namespace ringsync::cuda {

/// Null what this driver lacks.
struct Driver {
  CUresult (*wait_value)(CUstream, CUdeviceptr, cuuint32_t, unsigned) = nullptr;
  CUresult (*get_address_range)(CUdeviceptr*, size_t*, CUdeviceptr) = nullptr;
};

/// Looked up at the first call.
const Driver& driver();

}  // namespace ringsync::cuda
