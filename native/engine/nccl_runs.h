#pragma once

// What NCCL's calls are that make a collective of a group's ranks, with what has to be packed and
// scaled before and after. When they are made is for those who post them.

#include <memory>
#include <optional>

#include "collective/schedule.h"
#include "device/nccl_service.h"
#include "engine/device_call.h"

namespace ringsync {

/// On the thread that calls NCCL.
class NcclRuns {
 public:
  NcclRuns(std::shared_ptr<Device> device, const NcclCommunicator::Place& place)
      : device_(std::move(device)), rank_(place.rank), size_(place.size) {}

  // Each is put on the stage once the events are reached; memory stays valid until that is done.
  // Throws Error.

  /// An array of any length if it is cut by others.
  NcclPut run(const Problem& problem, const DevicePiece& piece, const DeviceStart& start,
              const NcclStage& stage) const;
  NcclPut run(const DeviceBucket& bucket, const DeviceStart& start, const NcclStage& stage) const;

 private:
  /// Puts a call of NCCL's own on the stage's stream.
  template <typename Call>
  NcclPut put(const DeviceStart& start, const NcclStage& stage, const Call& call) const;
  NcclPut allreduce(const DevicePiece& piece, const DeviceStart& start,
                    const NcclStage& stage) const;
  NcclPut reduce_scatter(const Problem& problem, const DevicePiece& piece, const DeviceStart& start,
                         const NcclStage& stage) const;
  void allgather(const Problem& problem, const DevicePiece& piece, const NcclStage& stage) const;
  void alltoall(const Problem& problem, const DevicePiece& piece, const NcclStage& stage) const;
  NcclPut sum_in_room(const DevicePiece& whole, ByteSpan input, MutableByteSpan output,
                      size_t skipped_bytes, const DeviceStart& start, const NcclStage& stage) const;
  double sum(MutableByteSpan room, Dtype dtype, const Reduction& reduction,
             const NcclStage& stage) const;
  void unpack_scaled(MutableByteSpan to, std::byte* from, Dtype type, double scale,
                     void* stream) const;
  Measures measures_for(const DeviceStart& start) const;
  std::optional<ReduceOp> whole_op(const Reduction& reduction) const;

  const std::shared_ptr<Device> device_;
  const int rank_;
  const int size_;
};

}  // namespace ringsync
