// The table of the CUDA plug-in, and what it says of devices and errors.

#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "cuda/graphs.h"
#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "cuda/ranges.h"
#include "cuda/streams.h"
#include "device/plugin_abi.h"
#include "device/plugin_calls.h"

namespace ringsync::cuda {
namespace {

RsStatus describe(RsStatus status, char* text, uint64_t text_bytes) {
  if (text == nullptr || text_bytes == 0) return kRsBadArgument;
  if (const char* words = plugin::words_of(status); words != nullptr) {
    std::snprintf(text, text_bytes, "%s.", words);
    return kRsOk;
  }
  const auto error = static_cast<cudaError_t>(status);
  std::snprintf(text, text_bytes, "CUDA error %d, %s: %s. Read CUDA's documentation of this error.",
                status, cudaGetErrorName(error), cudaGetErrorString(error));
  return kRsOk;
}

RsStatus count_devices(int32_t* count) {
  if (count == nullptr) return kRsBadArgument;
  *count = 0;
  int driver_version = 0;
  cudaDriverGetVersion(&driver_version);
  if (driver_version == 0) return kRsNoDriver;
  int found = 0;
  const cudaError_t error = cudaGetDeviceCount(&found);
  if (error != cudaSuccess) cudaGetLastError();
  if (error == cudaErrorInsufficientDriver) return kRsDriverTooOld;
  if (error == cudaErrorNoDevice || (error == cudaSuccess && found == 0)) return kRsNoDevice;
  if (error == cudaSuccess) *count = found;
  return error;
}

RsStatus look_at_device(int32_t device, RsDeviceFacts* facts) {
  if (facts == nullptr) return kRsBadArgument;
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device);
      error != cudaSuccess) {
    return error;
  }
  *facts = {};
  facts->waits_on_release = 1;
  static_assert(sizeof(properties.uuid.bytes) == sizeof(facts->uuid));
  std::memcpy(facts->uuid, properties.uuid.bytes, sizeof(facts->uuid));
  static_assert(sizeof(properties.name) == sizeof(facts->name));
  std::memcpy(facts->name, properties.name, sizeof(facts->name));
  facts->memory_bytes = properties.totalGlobalMem;
  facts->multiprocessors = properties.multiProcessorCount;
  facts->compute_major = properties.major;
  facts->compute_minor = properties.minor;
  int value = 0;
  if (cudaRuntimeGetVersion(&value) == cudaSuccess) facts->library_version = value;
  if (cudaDriverGetVersion(&value) == cudaSuccess) facts->driver_version = value;
  // CUDA answers for events; memory goes with them.
  if (cudaDeviceGetAttribute(&value, cudaDevAttrIpcEventSupport, device) == cudaSuccess) {
    facts->can_export_memory = value;
  }
  return kRsOk;
}

RsStatus use_device(int32_t device) { return cudaSetDevice(device); }

RsStatus device_in_use(int32_t* device) {
  if (device == nullptr) return kRsBadArgument;
  static_assert(sizeof(int) == sizeof(*device));
  return cudaGetDevice(device);
}

constexpr RsDeviceApi kApi{
    .abi = kRsAbi,
    .table_bytes = sizeof(RsDeviceApi),
    .kind = "cuda",
    .describe = describe,
    .count_devices = count_devices,
    .look_at_device = look_at_device,
    .use_device = use_device,
    .device_in_use = device_in_use,
    .allocate = allocate,
    .release = release,
    .allocate_pinned = allocate_pinned,
    .release_pinned = release_pinned,
    .pin = pin,
    .unpin = unpin,
    .look_at_memory = look_at_memory,
    .copy = copy,
    .fill = fill,
    .create_stream = create_stream,
    .destroy_stream = destroy_stream,
    .synchronize_stream = synchronize_stream,
    .create_event = create_event,
    .destroy_event = destroy_event,
    .record_event = record_event,
    .wait_event = wait_event,
    .notify = notify,
    .query_event = query_event,
    .elapsed_ms = elapsed_ms,
    .export_memory = export_memory,
    .open_memory = open_memory,
    .close_memory = close_memory,
    .signal = signal,
    .wait_flag = wait_flag,
    .pack = pack,
    .unpack = unpack,
    .sum_peers = sum_peers,
    .begin_graph = begin_graph,
    .end_graph = end_graph,
    .launch_graph = launch_graph,
    .destroy_graph = destroy_graph,
    .range_begin = range_begin,
    .range_end = range_end,
};

}  // namespace
}  // namespace ringsync::cuda

extern "C" [[gnu::visibility("default")]] const RsDeviceApi* rs_device_api() {
  return &ringsync::cuda::kApi;
}
