#include "cuda/streams.h"

#include <cuda.h>
#include <cuda_runtime.h>

#include <memory>
#include <new>

#include "cuda/driver.h"
#include "cuda/kernels.h"

namespace ringsync::cuda {
namespace {

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }

/// Whom to tell what.
struct Told {
  void (*call)(void*, RsStatus);
  void* context;
};

void CUDART_CB tell(cudaStream_t, cudaError_t status, void* data) {
  const std::unique_ptr<Told> told(static_cast<Told*>(data));
  told->call(told->context, status);
}

/// The driver's errors have the numbers of the run time's, but for some that it never returns here.
RsStatus status_of(CUresult result) { return static_cast<RsStatus>(result); }

}  // namespace

RsStatus create_stream(int32_t is_urgent, void** stream) {
  if (stream == nullptr) return kRsBadArgument;
  // Before any stream of ours can wait.
  if (const RsStatus status = load_moves(); status != kRsOk) return status;
  if (const RsStatus status = load_sums(); status != kRsOk) return status;
  int least = 0;
  int greatest = 0;
  if (const cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);
      error != cudaSuccess) {
    return error;
  }
  cudaStream_t made = nullptr;
  const cudaError_t error =
      cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, is_urgent != 0 ? greatest : least);
  *stream = made;
  return error;
}

RsStatus destroy_stream(void* stream) { return cudaStreamDestroy(stream_of(stream)); }

RsStatus synchronize_stream(void* stream) { return cudaStreamSynchronize(stream_of(stream)); }

RsStatus create_event(int32_t is_timed, void** event) {
  if (event == nullptr) return kRsBadArgument;
  cudaEvent_t made = nullptr;
  // An event without times costs a stream less to pass.
  const cudaError_t error =
      cudaEventCreateWithFlags(&made, is_timed != 0 ? cudaEventDefault : cudaEventDisableTiming);
  *event = made;
  return error;
}

RsStatus destroy_event(void* event) { return cudaEventDestroy(event_of(event)); }

RsStatus record_event(void* event, void* stream) {
  return cudaEventRecord(event_of(event), stream_of(stream));
}

RsStatus wait_event(void* stream, void* event) {
  return cudaStreamWaitEvent(stream_of(stream), event_of(event), 0);
}

RsStatus notify(void (*call)(void*, RsStatus), void* context, void* stream) {
  if (call == nullptr) return kRsBadArgument;
  std::unique_ptr<Told> told;
  try {
    told = std::make_unique<Told>(Told{call, context});
  } catch (const std::bad_alloc&) {
    return kRsUnexpected;
  }
  // cudaLaunchHostFunc's function is never called once anything on the device has failed.
  const cudaError_t error = cudaStreamAddCallback(stream_of(stream), &tell, told.get(), 0);
  if (error == cudaSuccess) static_cast<void>(told.release());
  return error;
}

RsStatus query_event(void* event, int32_t* is_reached) {
  if (is_reached == nullptr) return kRsBadArgument;
  const cudaError_t error = cudaEventQuery(event_of(event));
  *is_reached = error == cudaSuccess ? 1 : 0;
  if (error != cudaErrorNotReady) return error;
  cudaGetLastError();  // the run time takes "not ready" for an error and would keep it
  return kRsOk;
}

RsStatus elapsed_ms(void* start, void* end, float* milliseconds) {
  if (milliseconds == nullptr) return kRsBadArgument;
  const cudaError_t error = cudaEventElapsedTime(milliseconds, event_of(start), event_of(end));
  if (error == cudaErrorNotReady) cudaGetLastError();  // as above
  return error;
}

RsStatus wait_flag(const uint32_t* flag, uint32_t value, void* stream) {
  if (flag == nullptr) return kRsBadArgument;
  if (driver().wait_value == nullptr) return kRsNoStreamWaits;
  return status_of(driver().wait_value(static_cast<CUstream>(stream),
                                       reinterpret_cast<CUdeviceptr>(flag), value,
                                       CU_STREAM_WAIT_VALUE_GEQ));
}

}  // namespace ringsync::cuda
