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
  /// Of the memfd behind it, until the block is shared; empty between threads. A mapping needs no
  /// descriptor, and a process has few.
  SharedFd fd;
};

/// Any thread.
class BlockSource {
 public:
  virtual ~BlockSource() = default;

  virtual std::string_view name() const = 0;
  /// Zeroed memory of at least `bytes`. Throws Error when there is no room.
  virtual Block create(size_t bytes) = 0;
  /// Lets peers fetch `block` under `key`. Throws RendezvousError.
  virtual void share(const std::string& key, Block& block) = 0;
  /// Waits for a peer's block. Throws RendezvousError at the deadline or if it is too small.
  virtual Block fetch(const std::string& key, size_t at_least_bytes, Deadline deadline) = 0;
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

std::unique_ptr<BlockSource> make_inproc_source(Store& store);
std::unique_ptr<BlockSource> make_shm_source(Store& store);

}  // namespace ringsync
