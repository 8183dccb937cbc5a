#pragma once

// How the processes of a host hand each other shared memory, without a third that could be gone: a
// socket of each rank, into which its peers put descriptors and which a thread of its own empties.
// Who gives does not wait for the taker, and who takes finds what was given before it was spoken
// of.

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "transport/block.h"

namespace ringsync {

/// Any thread, once all peers have been met.
class Handover {
 public:
  /// Among `size` ranks. Throws Error.
  explicit Handover(int size);
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;
  ~Handover();

  /// The end into which peers put what is for this rank.
  const SharedFd& entrance() const { return entrance_; }

  /// `rank` takes at `entrance`, and `life` is readable once it has ended. Before anything is given
  /// to it or taken from it.
  void meet(int rank, SharedFd entrance, SharedFd life);
  /// Gives `memfd` to `rank`; nothing happens where that has ended or left. Throws Error where it
  /// has taken nothing for too long.
  void give(int rank, const std::string& key, const SharedFd& memfd);
  /// Waits for what `rank` gives under `key`, which can be taken again. Throws RendezvousError at
  /// the deadline or when the rank has ended, Error when there is no room for it.
  Block take(int rank, const std::string& key, Deadline deadline);
  /// Lets go of what was given under `key`.
  void forget(const std::string& key) noexcept;

 private:
  struct Receiver {
    SharedFd entrance;
    SharedFd life;
  };

  void serve();
  /// Takes in all that has come.
  void collect() noexcept;
  /// Throws Error where it came and could not be mapped.
  std::optional<Block> find(int rank, const std::string& key);

  std::vector<Receiver> receivers_;  // by rank; not changed once all are met
  SharedFd entrance_;
  Fd exit_;
  Fd news_;             // readable when something was collected, for the one who waits
  std::mutex waiting_;  // one thread at a time waits
  std::mutex mutex_;
  std::map<std::string, Block> blocks_;  // guarded by mutex_; empty ones could not be mapped
  const int pid_;                        // of the process that owns the thread
  Fd stop_;
  std::thread thread_;
};

}  // namespace ringsync
