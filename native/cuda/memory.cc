#include "cuda/memory.h"

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstring>

#include "cuda/driver.h"

namespace ringsync::cuda {
namespace {

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

/// Of a call that may find no memory. The run time keeps its error as well, and would hand it to an
/// innocent caller later.
RsStatus status_of(cudaError_t error) {
  if (error != cudaSuccess) cudaGetLastError();
  return error == cudaErrorMemoryAllocation ? static_cast<RsStatus>(kRsNoMemory) : error;
}

}  // namespace

RsStatus allocate(uint64_t bytes, void** memory) {
  if (memory == nullptr) return kRsBadArgument;
  *memory = nullptr;
  return status_of(cudaMalloc(memory, bytes));
}

RsStatus release(void* memory) { return cudaFree(memory); }

RsStatus allocate_pinned(uint64_t bytes, void** memory) {
  if (memory == nullptr) return kRsBadArgument;
  *memory = nullptr;
  return status_of(cudaMallocHost(memory, bytes));
}

RsStatus release_pinned(void* memory) { return cudaFreeHost(memory); }

RsStatus pin(void* memory, uint64_t bytes) {
  return status_of(cudaHostRegister(memory, bytes, cudaHostRegisterDefault));
}

RsStatus unpin(void* memory) { return cudaHostUnregister(memory); }

RsStatus look_at_memory(const void* memory, int32_t* device) {
  if (device == nullptr) return kRsBadArgument;
  *device = kRsNowhere;
  cudaPointerAttributes found{};
  const cudaError_t error = cudaPointerGetAttributes(&found, memory);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return error == cudaErrorInvalidValue ? static_cast<RsStatus>(kRsOk) : error;
  }
  const bool is_on_device =
      found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged;
  if (is_on_device) *device = found.device;
  return kRsOk;
}

RsStatus copy(void* to, const void* from, uint64_t bytes, void* stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_of(stream));
}

RsStatus fill(void* memory, uint32_t byte, uint64_t bytes, void* stream) {
  return cudaMemsetAsync(memory, static_cast<int>(byte & 0xffu), bytes, stream_of(stream));
}

RsStatus export_memory(void* memory, RsMemoryHandle* handle) {
  if (memory == nullptr || handle == nullptr) return kRsBadArgument;
  static_assert(sizeof(cudaIpcMemHandle_t) == sizeof(RsMemoryHandle));
  // Of memory inside an allocation CUDA would hand out the allocation, and peers would read what
  // lies at its beginning.
  CUdeviceptr base = 0;
  if (driver().get_address_range == nullptr) return kRsNoDriver;
  const CUresult found =
      driver().get_address_range(&base, nullptr, reinterpret_cast<CUdeviceptr>(memory));
  if (found != CUDA_SUCCESS) return kRsBadArgument;
  if (base != reinterpret_cast<CUdeviceptr>(memory)) return kRsNotABase;
  cudaIpcMemHandle_t native;
  const cudaError_t error = cudaIpcGetMemHandle(&native, memory);
  if (error == cudaSuccess) std::memcpy(handle, &native, sizeof(native));
  return error;
}

RsStatus open_memory(const RsMemoryHandle* handle, void** memory) {
  if (handle == nullptr || memory == nullptr) return kRsBadArgument;
  *memory = nullptr;
  cudaIpcMemHandle_t native;
  std::memcpy(&native, handle, sizeof(native));
  const cudaError_t error = cudaIpcOpenMemHandle(memory, native, cudaIpcMemLazyEnablePeerAccess);
  if (error != cudaSuccess) cudaGetLastError();
  // What CUDA says of a process's own handle.
  return error == cudaErrorDeviceUninitialized ? kRsOwnMemory : static_cast<RsStatus>(error);
}

RsStatus close_memory(void* memory) { return cudaIpcCloseMemHandle(memory); }

}  // namespace ringsync::cuda
