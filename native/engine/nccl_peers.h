#pragma once

// A group's collectives by NCCL, in stream order: once its ranks have told one another what they
// have, and have joined. Where arrays are worked on is decided by those who ask.

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "collective/schedule.h"
#include "device/nccl_join.h"
#include "device/reduction.h"
#include "engine/operation.h"

namespace ringsync {

/// In memory that all ranks of the group see: what one of them has found.
struct NcclWord {
  std::atomic<uint32_t> is_told{0};
  // Both written before that.
  NcclJoin::Found found;
  std::array<uint8_t, 16> device{};  // the rank's
};

/// One thread at a time.
class NcclPeers {
 public:
  /// Begins to look for NCCL. What is found is told in `own`, which names the rank's device.
  NcclPeers(std::shared_ptr<Device> device, const NcclChoice& choice, const GroupView& group,
            std::shared_ptr<NcclWord> own);

  /// What others have told; joins once all have.
  void look_at(std::span<const NcclWord* const> words);
  /// All have joined.
  bool is_ready() const { return join_.communicator() != nullptr; }
  /// Why that will not be, once; nothing where nobody has to know.
  std::optional<std::string> take_failure();

  /// What lies on the device, and where a sum that has to be scaled may be made.
  struct Call {
    ByteSpan input;
    MutableByteSpan output;
    Dtype dtype = Dtype::kUint8;
    Reduction reduction;
    MutableByteSpan room;
  };
  // Once ready. Each is put on the stream. Throws Error.

  void run(const Problem& problem, const Call& call, void* stream);
  /// In place, in some room. Returns what results are still to be multiplied by.
  double sum(MutableByteSpan room, Dtype dtype, const Reduction& reduction, void* stream);

  /// The others are not to be waited for any more.
  void abort() noexcept;

 private:
  void allreduce(const Call& call, void* stream);
  void reduce_scatter(const Problem& problem, const Call& call, void* stream);
  void allgather(const Problem& problem, const Call& call, void* stream);
  void alltoall(const Problem& problem, const Call& call, void* stream);
  void unpack(MutableByteSpan to, std::byte* from, Dtype type, double scale, void* stream) const;
  std::optional<ReduceOp> whole_op(const Reduction& reduction) const;

  const std::shared_ptr<Device> device_;
  const int rank_;
  const int size_;
  bool is_decided_ = false;  // whether to join
  std::optional<std::string> failure_;
  NcclJoin join_;
};

}  // namespace ringsync
