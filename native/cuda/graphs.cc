#include "cuda/graphs.h"

#include <cuda_runtime.h>

namespace ringsync::cuda {
namespace {

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaGraphExec_t graph_of(void* graph) { return static_cast<cudaGraphExec_t>(graph); }

}  // namespace

RsStatus begin_graph(void* stream) {
  if (stream == nullptr) return kRsBadArgument;
  // Other threads are the user's, whose calls would fail in the wider mode.
  return cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal);
}

RsStatus end_graph(void* stream, void** graph) {
  if (stream == nullptr || graph == nullptr) return kRsBadArgument;
  *graph = nullptr;
  cudaGraph_t kept = nullptr;
  cudaError_t error = cudaStreamEndCapture(stream_of(stream), &kept);
  if (error == cudaSuccess) {
    cudaGraphExec_t made = nullptr;
    error = cudaGraphInstantiate(&made, kept, 0);
    *graph = made;
    cudaGraphDestroy(kept);
  }
  if (error != cudaSuccess) cudaGetLastError();
  return error;
}

RsStatus launch_graph(void* graph, void* stream) {
  if (graph == nullptr || stream == nullptr) return kRsBadArgument;
  return cudaGraphLaunch(graph_of(graph), stream_of(stream));
}

RsStatus destroy_graph(void* graph) {
  return graph == nullptr ? kRsBadArgument
                          : static_cast<RsStatus>(cudaGraphExecDestroy(graph_of(graph)));
}

}  // namespace ringsync::cuda
