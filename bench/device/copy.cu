// Plain copies of device memory, which pack and unpack are held against: as fast as memory allows,
// and nothing else.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kInFlight = 4;
constexpr size_t kVectorBytes = sizeof(uint4);

__device__ uint4 load(const uint4* from, bool is_streaming) {
  return is_streaming ? __ldcs(from) : *from;
}

__device__ void store(uint4* to, uint4 value, bool is_streaming) {
  if (is_streaming) {
    __stcs(to, value);
  } else {
    *to = value;
  }
}

/// Every thread moves kInFlight vectors, and then its block's next ones if there are any.
template <bool kIsStreaming>
__global__ void __launch_bounds__(kThreads) copy(uint4* to, const uint4* from, size_t vectors) {
  const size_t stride = size_t{gridDim.x} * kThreads * kInFlight;
  for (size_t at = size_t{blockIdx.x} * kThreads * kInFlight + threadIdx.x; at < vectors;
       at += stride) {
    uint4 held[kInFlight];
#pragma unroll
    for (unsigned k = 0; k < kInFlight; ++k) {
      if (at + k * kThreads < vectors) held[k] = load(from + at + k * kThreads, kIsStreaming);
    }
#pragma unroll
    for (unsigned k = 0; k < kInFlight; ++k) {
      if (at + k * kThreads < vectors) store(to + at + k * kThreads, held[k], kIsStreaming);
    }
  }
}

}  // namespace

/// Multiples of 16 bytes; most_blocks 0 is as many as there is work for. Returns a cudaError_t.
extern "C" int plain_copy(void* to, const void* from, size_t bytes, int is_streaming,
                          unsigned most_blocks, void* stream) {
  const size_t vectors = bytes / kVectorBytes;
  const size_t needed = (vectors + kThreads * kInFlight - 1) / (kThreads * kInFlight);
  const unsigned blocks =
      most_blocks != 0 && needed > most_blocks ? most_blocks : static_cast<unsigned>(needed);
  auto* kernel = is_streaming != 0 ? copy<true> : copy<false>;
  kernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      static_cast<uint4*>(to), static_cast<const uint4*>(from), vectors);
  return static_cast<int>(cudaGetLastError());
}
