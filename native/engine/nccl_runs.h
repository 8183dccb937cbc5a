#pragma once

// What NCCL's calls are that make a collective of a group's ranks, with what has to be packed and
// scaled before and after. When they are made is for those who post them.

#include <memory>
#include <optional>

#include "collective/schedule.h"
#include "device/nccl_thread.h"
#include "engine/device_call.h"

namespace ringsync {

/// On the thread that calls NCCL.
class NcclRuns {
 public:
  NcclRuns(std::shared_ptr<Device> device, const NcclCommunicator::Place& place)
      : device_(std::move(device)), rank_(place.rank), size_(place.size) {}

  // Each is put on the stage's stream; memory stays valid until that has come past it. Returns
  // what lies behind the last of NCCL's calls. Throws Error.

  /// An array of any length if it is cut by others.
  DeviceEvent run(const Problem& problem, const DevicePiece& piece,
                  const NcclThread::Stage& stage) const;
  DeviceEvent run(const DeviceBucket& bucket, const NcclThread::Stage& stage) const;

 private:
  void allreduce(const DevicePiece& piece, const NcclThread::Stage& stage) const;
  void reduce_scatter(const Problem& problem, const DevicePiece& piece,
                      const NcclThread::Stage& stage) const;
  void allgather(const Problem& problem, const DevicePiece& piece,
                 const NcclThread::Stage& stage) const;
  void alltoall(const Problem& problem, const DevicePiece& piece,
                const NcclThread::Stage& stage) const;
  double sum(MutableByteSpan room, Dtype dtype, const Reduction& reduction,
             const NcclThread::Stage& stage) const;
  void unpack(MutableByteSpan to, std::byte* from, Dtype type, double scale, void* stream) const;
  std::optional<ReduceOp> whole_op(const Reduction& reduction) const;

  const std::shared_ptr<Device> device_;
  const int rank_;
  const int size_;
};

}  // namespace ringsync
