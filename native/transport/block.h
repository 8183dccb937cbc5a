#pragma once

// Memory that several ranks of a host see, and the way it is made and handed over: a memfd between
// processes, plain memory between threads. All that is above this file is the same for both.

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/span.h"
#include "rendezvous/store.h"

namespace ringsync {

/// A piece of shared memory. Lives as long as any copy of the block.
struct Block {
  MutableByteSpan bytes;
  std::shared_ptr<void> owner;
  /// Of the memfd behind it, until all have it with whom it is shared; empty between threads. A
  /// mapping needs no descriptor, and a process has few.
  SharedFd fd;
};

/// Any thread.
class BlockSource {
 public:
  virtual ~BlockSource() = default;

  /// Zeroed memory of at least `bytes`. Throws Error when there is no room.
  virtual Block create(size_t bytes) = 0;
  /// Learns how to hand blocks to `rank`, whose process has `life`. Throws RendezvousError.
  virtual void meet(int rank, SharedFd life, Deadline deadline) = 0;
  /// Lets `rank` fetch `block` under `key`, as long as it takes part. Throws Error.
  virtual void share(int rank, const std::string& key, const Block& block) = 0;
  /// Waits for a block that `rank` shares, under any key as often as wanted. Throws RendezvousError
  /// at the deadline, where the rank ends first or the block is too small, Error without room.
  virtual Block fetch(int rank, const std::string& key, size_t at_least_bytes,
                      Deadline deadline) = 0;
  /// Keeps no more what `rank` has shared under `key`: for when all who want it have fetched it.
  virtual void forget(int rank, const std::string& key) noexcept = 0;
  /// True if private memory of the process `pid` can be read and written. Where that is tried,
  /// `token`, which lies at `address` there, is read and written back.
  virtual bool can_reach(int pid, uint64_t address, uint64_t token) = 0;
  /// Copies private memory of the process `pid` at `address`. False when the process is gone.
  /// Throws Error when the memory is not there, or may not be reached.
  virtual bool read(int pid, uint64_t address, MutableByteSpan into) = 0;
  /// Copies to there; likewise.
  virtual bool write(int pid, ByteSpan from, uint64_t address) = 0;
  /// A descriptor that becomes readable when this rank's process has ended; empty for threads.
  virtual SharedFd life() = 0;
  /// An empty file for this rank's stacks; none for threads.
  virtual SharedFd stacks() = 0;
};

/// Of `rank` among `size`; it asks the store until all peers have been met, not later.
std::unique_ptr<BlockSource> make_inproc_source(Store& store, int rank, int size);
std::unique_ptr<BlockSource> make_shm_source(Store& store, int rank, int size);

}  // namespace ringsync
