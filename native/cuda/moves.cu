// Pack and unpack: one launch per bucket, whatever the number and the sizes of its tensors.

#include <cuda_runtime.h>

#include "cuda/arithmetic.cuh"
#include "cuda/kernels.h"
#include "cuda/place.cuh"
#include "device/plugin_bodies.h"
#include "device/plugin_calls.h"

namespace ringsync::cuda {
namespace {

using plugin::MoveFrame;

/// Below this a launch has the 4 KiB of parameters that every driver copies fast.
constexpr uint32_t kFewSegments = 240;
/// Warps as teams: a small tensor stalls one warp and not a block. On an H100 and on an H200, packs
/// and unpacks of 25 to 438 MB, as float32 and as bfloat16: with spans of 2 KiB on average 0.97 and
/// 0.96 of a plain copy's speed, 0.91 and 0.92 at least; of 4 KiB 0.957 and 0.955. On the H100
/// alone: 8 KiB 0.94 and 0.88, 32 KiB 0.87 and 0.74; blocks with 32 KiB 0.95 and 0.87, with 512 KiB
/// 0.85 and 0.71.
constexpr RsShape kUsual{256, 32, 2048, 0};

template <typename Scale, uint32_t kMost>
struct Parameters {
  MoveFrame<Scale> frame;
  uint32_t lanes;
  RsSegment segments[kMost];
};
static_assert(sizeof(Parameters<double, kFewSegments>) <= 4096);
static_assert(sizeof(Parameters<double, kRsMostSegments>) <= 32764);

// 64 registers at most: half of the threads that a multiprocessor can hold are then resident.
template <typename From, typename To, typename Scale, uint32_t kMost>
__global__ void __launch_bounds__(plugin::kMostThreads, 2)
    move_by_parameter(const __grid_constant__ Parameters<Scale, kMost> parameters) {
  plugin::move_spans<Arithmetic, From, To>(parameters.segments, parameters.frame,
                                           place_of(parameters.lanes));
}

template <typename From, typename To, typename Scale>
__global__ void __launch_bounds__(plugin::kMostThreads, 2)
    move_by_table(const RsSegment* segments, const __grid_constant__ MoveFrame<Scale> frame,
                  uint32_t lanes) {
  plugin::move_spans<Arithmetic, From, To>(segments, frame, place_of(lanes));
}

template <typename Scale>
MoveFrame<Scale> frame_of(const RsMove& move, bool is_pack, Scale scale) {
  return {move.fused, move.segment_count, static_cast<uint32_t>(move.fused_elements),
          0,          is_pack ? 1u : 0u,  scale};
}

template <typename From, typename To, typename Scale>
RsStatus launch_by_table(const RsMove& move, MoveFrame<Scale> frame, void* stream) {
  const plugin::Cut cut =
      plugin::cut(move.shape, kUsual, frame.total, std::max(sizeof(From), sizeof(To)));
  frame.span = cut.span;
  const RsSegment* segments = move.segments;
  uint32_t lanes = cut.lanes;
  void* arguments[] = {&segments, &frame, &lanes};
  return cudaLaunchKernel(move_by_table<From, To, Scale>, cut.blocks, cut.threads, arguments, 0,
                          static_cast<cudaStream_t>(stream));
}

template <typename From, typename To, uint32_t kMost, typename Scale>
RsStatus launch_by_parameter(const RsMove& move, const MoveFrame<Scale>& whole, void* stream) {
  const size_t fused_bytes = whole.is_pack != 0 ? sizeof(To) : sizeof(From);
  // Not cleared: the entries behind the last one are not read.
  Parameters<Scale, kMost> parameters;
  for (uint32_t done = 0; done < move.segment_count;) {
    const plugin::Part part = plugin::take_part(move, done, parameters.segments);
    done = part.done;
    if (part.count == 0) continue;
    const plugin::Cut cut =
        plugin::cut(move.shape, kUsual, part.total, std::max(sizeof(From), sizeof(To)));
    parameters.frame = whole;
    parameters.frame.fused = static_cast<char*>(whole.fused) + part.first * fused_bytes;
    parameters.frame.segment_count = part.count;
    parameters.frame.total = part.total;
    parameters.frame.span = cut.span;
    parameters.lanes = cut.lanes;
    void* arguments[] = {&parameters};
    const cudaError_t error =
        cudaLaunchKernel(move_by_parameter<From, To, Scale, kMost>, cut.blocks, cut.threads,
                         arguments, 0, static_cast<cudaStream_t>(stream));
    if (error != cudaSuccess) return error;
  }
  return kRsOk;
}

template <typename From, typename To, typename Scale>
RsStatus load(cudaFuncAttributes& attributes) {
  const void* const kernels[] = {
      reinterpret_cast<const void*>(move_by_parameter<From, To, Scale, kFewSegments>),
      reinterpret_cast<const void*>(move_by_parameter<From, To, Scale, kRsMostSegments>),
      reinterpret_cast<const void*>(move_by_table<From, To, Scale>),
  };
  for (const void* kernel : kernels) {
    if (const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
        error != cudaSuccess) {
      return error;
    }
  }
  return kRsOk;
}

RsStatus move(const RsMove* move, bool is_pack, void* stream) {
  if (move == nullptr) return kRsBadArgument;
  if (const RsStatus status = plugin::check(*move); status != kRsOk) return status;
  return plugin::with_types_of<Arithmetic>(
      *move, is_pack, [&]<typename From, typename To>(auto scale) -> RsStatus {
        if (move->segment_count == 0) return kRsOk;
        const auto frame = frame_of(*move, is_pack, scale);
        if (move->is_table_on_device != 0) return launch_by_table<From, To>(*move, frame, stream);
        if (move->segment_count <= kFewSegments) {
          return launch_by_parameter<From, To, kFewSegments>(*move, frame, stream);
        }
        return launch_by_parameter<From, To, kRsMostSegments>(*move, frame, stream);
      });
}

}  // namespace

RsStatus load_moves() {
  cudaFuncAttributes attributes;
  for (const uint32_t tensor : plugin::kDtypes) {
    for (const uint32_t fused : plugin::kDtypes) {
      RsMove any{};
      any.tensor_dtype = tensor;
      any.fused_dtype = fused;
      any.scale = 1.0;
      const RsStatus status = plugin::with_types_of<Arithmetic>(
          any, true, [&]<typename From, typename To>(auto scale) -> RsStatus {
            return load<From, To, decltype(scale)>(attributes);
          });
      if (status != kRsOk && status != kRsBadTypes) return status;
    }
  }
  return kRsOk;
}

RsStatus pack(const RsMove* bucket, void* stream) { return move(bucket, true, stream); }

RsStatus unpack(const RsMove* bucket, void* stream) { return move(bucket, false, stream); }

}  // namespace ringsync::cuda
