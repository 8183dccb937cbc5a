// Sums of peers' memory, in rank order, and the flags that tell peers of them.

#include <cuda_runtime.h>

#include "cuda/arithmetic.cuh"
#include "cuda/kernels.h"
#include "cuda/place.cuh"
#include "device/plugin_bodies.h"
#include "device/plugin_calls.h"

namespace ringsync::cuda {
namespace {

using plugin::SumFrame;

/// A team is a block here, and a span what its threads sum in one turn; more blocks than are
/// resident, so that the last ones to come fill what the first ones leave.
constexpr RsShape kUsual{512, 512, 2 * 16 * 512, 4096};

template <typename T, typename Scale>
__global__ void __launch_bounds__(plugin::kMostThreads, 2)
    sum(const __grid_constant__ SumFrame<Scale> frame, uint32_t lanes) {
  plugin::sum_elements<Arithmetic, T>(frame, place_of(lanes));
}

struct Flags {
  uint32_t* words[kRsMostFlags];
  const uint32_t* unless;
  uint32_t count;
  uint32_t value;
};

__global__ void __launch_bounds__(1) write_flags(const __grid_constant__ Flags flags) {
  // Another stream may have written it in the meantime, so it comes out of no cache.
  if (flags.unless != nullptr && *static_cast<const volatile uint32_t*>(flags.unless) != 0) return;
  // What kernels before this one wrote is visible to this thread; the fence passes it on.
  __threadfence_system();
  for (uint32_t i = 0; i < kRsMostFlags; ++i) {
    if (i >= flags.count) return;
    asm volatile("st.release.sys.global.u32 [%0], %1;"
                 :
                 : "l"(__cvta_generic_to_global(flags.words[i])), "r"(flags.value)
                 : "memory");
  }
}

}  // namespace

RsStatus load_sums() {
  cudaFuncAttributes attributes;
  for (const uint32_t dtype : plugin::kDtypes) {
    RsSum any{};
    any.dtype = dtype;
    any.scale = 1.0;
    const RsStatus status =
        plugin::with_type_of<Arithmetic>(any, [&]<typename T>(auto scale) -> RsStatus {
          return cudaFuncGetAttributes(&attributes, sum<T, decltype(scale)>);
        });
    if (status != kRsOk) return status;
  }
  return cudaFuncGetAttributes(&attributes, write_flags);
}

RsStatus sum_peers(const RsSum* call, void* stream) {
  if (call == nullptr) return kRsBadArgument;
  if (const RsStatus status = plugin::check(*call); status != kRsOk) return status;
  return plugin::with_type_of<Arithmetic>(*call, [&]<typename T>(auto scale) -> RsStatus {
    if (call->count == 0) return kRsOk;
    auto frame = plugin::frame_of(*call, scale);
    const plugin::Cut cut = plugin::cut(call->shape, kUsual, call->count, sizeof(T));
    uint32_t lanes = cut.lanes;
    void* arguments[] = {&frame, &lanes};
    return cudaLaunchKernel(sum<T, decltype(scale)>, cut.blocks, cut.threads, arguments, 0,
                            static_cast<cudaStream_t>(stream));
  });
}

RsStatus signal(uint32_t* const* words, uint32_t flag_count, uint32_t value, const uint32_t* unless,
                void* stream) {
  if (words == nullptr || flag_count > kRsMostFlags) return kRsBadArgument;
  Flags flags{{}, unless, flag_count, value};
  for (uint32_t i = 0; i < flag_count; ++i) {
    if (words[i] == nullptr) return kRsBadArgument;
    flags.words[i] = words[i];
  }
  void* arguments[] = {&flags};
  return cudaLaunchKernel(write_flags, 1, 1, arguments, 0, static_cast<cudaStream_t>(stream));
}

}  // namespace ringsync::cuda
