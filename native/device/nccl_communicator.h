#pragma once

// One rank's end of an NCCL communicator: joining, collectives in stream order, and an end that
// waits for nobody. Which rank tells the others of the id, and who looks at the clock, is decided
// by those who use it.

#include <sys/types.h>

#include <mutex>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/dtype.h"
#include "base/span.h"
#include "device/nccl_door.h"
#include "device/nccl_library.h"
#include "device/reduction.h"

namespace ringsync {

/// Whether NCCL adds up such values: neither int16 nor bool.
bool has_nccl_type(Dtype dtype);

/// Where a communicator stands, as NCCL says.
struct NcclStanding {
  int rank = 0;
  int size = 1;
  int device = 0;
};

/// Throws Error.
NcclStanding standing_of(const NcclLibrary& library, nccl::Comm* communicator);

/// Ranks give one communicator their calls in one order. One thread at a time; any other may call
/// abort() and is_ready() meanwhile.
class NcclCommunicator {
 public:
  struct Place {
    int rank = 0;
    int size = 1;
    /// Blocks of threads that a collective may take from the device's other work; 0 is NCCL's own
    /// choice.
    int max_ctas = 0;
    /// What messages call the rank; empty: by those numbers.
    std::string who = {};
  };
  /// Where a call is put, and until when NCCL may take to put it there: some of that it does on
  /// threads of its own, at the first calls above all.
  struct Turn {
    void* stream = nullptr;
    Deadline deadline = kNever;
    /// By which NCCL is called; closed once nobody waits for it any more. Null: it is always open.
    NcclDoor* door = nullptr;
  };

  /// For one rank to make and all to be told. Its process must live until all have joined. Throws
  /// Error.
  static nccl::UniqueId make_id(const NcclLibrary& library);

  /// Begins to join on the calling thread's device, and waits for nobody. Throws Error.
  NcclCommunicator(NcclLibrary library, const nccl::UniqueId& id, Place place);
  /// Adopts one that somebody else has made with this library, keeps, and ends once this is gone.
  /// If its calls are such as wait for other ranks, so do all of those here, whatever the deadline.
  NcclCommunicator(NcclLibrary library, nccl::Comm* adopted, Place place);
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;
  /// Waits a little for what is on its streams if all is well; else aborts. In a forked child,
  /// which has no device, nothing is given back, and of an adopted one never.
  ~NcclCommunicator();

  /// False while it joins. Throws Error where it, or what it has been given, has failed.
  bool is_ready();
  /// Once it is ready, by all ranks alike, where the version can: registers memory of NCCL's own
  /// and of one length as one window, until the end. Throws Error, and TimedOutError.
  void share(MutableByteSpan memory, const Turn& turn);
  /// Waits for no other rank: what is on its streams ends soon, leaving its results in any state,
  /// and all further calls throw Error. An adopted one is only called no more: to end it twice
  /// would be a crash, so what is on its streams may never end. Idempotent.
  void abort() noexcept;

  // Once it is ready. Each is put on the stream and returns; memory stays valid until the stream
  // has come past it. Throws Error, also once it is over, and TimedOutError at the deadline; after
  // either of them nothing but abort() is of use.
  // Counts are equal on all ranks, and `from` may be `to`, or this rank's part of it.

  /// Averages are of floats: NCCL rounds those of integers in its own way.
  void allreduce(ByteSpan from, MutableByteSpan to, Dtype dtype, ReduceOp op, const Turn& turn);
  /// `from` holds a part for each rank, as long as `to`.
  void reduce_scatter(ByteSpan from, MutableByteSpan to, Dtype dtype, ReduceOp op,
                      const Turn& turn);
  /// `to` has room for the part of each rank, as long as `from`.
  void allgather(ByteSpan from, MutableByteSpan to, const Turn& turn);
  void broadcast(ByteSpan from, MutableByteSpan to, int root, const Turn& turn);
  /// By rank; what one rank gives is as long as what the other takes, and may be empty.
  void alltoall(std::span<const ByteSpan> from, std::span<const MutableByteSpan> to,
                const Turn& turn);

 private:
  template <typename Call>
  static nccl::Result go_in(const Turn& turn, const Call& call);
  template <typename Call>
  void put(const std::string& what, const Turn& turn, const Call& call);
  nccl::Result state();
  nccl::Result settle(nccl::Result result, const Turn& turn);
  [[noreturn]] void fail(const std::string& what, nccl::Result result) const;
  std::string who() const;

  const NcclLibrary library_;
  const NcclLibrary::Api& api_;
  const Place place_;
  const pid_t pid_;  // of the process that has it
  const bool is_adopted_;
  std::mutex mutex_;
  nccl::Comm* comm_ = nullptr;  // guarded by mutex_; null once aborted
  nccl::Window* window_ = nullptr;
};

}  // namespace ringsync
