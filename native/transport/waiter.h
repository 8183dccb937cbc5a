#pragma once

// How a rank sleeps until a peer or one of its own threads has something for it, and how peers wake
// it: a word in shared memory says "I sleep", an eventfd rings, a pidfd tells of a peer's death.
// Ringing a rank that is awake costs a fence and a load, no system call.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "transport/block.h"

namespace ringsync {

/// RankState::presence: takes part; no more, and nobody may write into its private memory;
/// likewise, and it says why.
inline constexpr uint32_t kPresent = 0;
inline constexpr uint32_t kWithdrawn = 1;
inline constexpr uint32_t kLeft = 2;

/// What every rank shows its peers; lives in a shared block.
struct RankState {
  std::atomic<uint32_t> is_asleep;
  std::atomic<uint32_t> presence;
  /// 1 + the rank into whose private memory this rank writes; 0: none.
  std::atomic<uint32_t> writes_to;
  /// 1 + the rank that has asked this one for its stacks; 0: none.
  std::atomic<uint32_t> asked_by;
  /// A number that the rank has drawn, and where it lies in the rank's private memory: a peer that
  /// finds it there reaches that process and no other. Here it would prove nothing, because every
  /// rank maps this block. Written before the block is shared.
  uint64_t token;
  uint64_t token_address;
  /// All below is written before kLeft. The rank that it lost, and that rank's process; else -1.
  int32_t lost_rank;
  int32_t lost_pid;
  /// Why it left, or what it saw of the lost rank's end; cut to fit and zero-terminated.
  char cause[1024];
  /// Not 0: an exception that nobody caught has ended its program, and this is its text; cut to fit
  /// and zero-terminated.
  std::atomic<uint32_t> has_last_words;
  char last_words[512];
};

/// One rank as its peers see it. Any thread.
class Peer {
 public:
  /// `stacks`: the file in which its process writes them; empty for a thread.
  Peer(int rank, std::string host, int pid, Block state, SharedFd bell, SharedFd life,
       SharedFd stacks);

  int rank() const { return rank_; }
  const std::string& host() const { return host_; }
  int pid() const { return pid_; }
  const Fd* life() const { return life_.get(); }
  const Fd* stacks() const { return stacks_.get(); }
  /// Where in the file begins what it was last asked for. For whoever asks.
  int64_t stacks_begin() const { return stacks_begin_; }
  void set_stacks_begin(int64_t begin) { stacks_begin_ = begin; }
  RankState& state() const { return *reinterpret_cast<RankState*>(block_.bytes.data()); }

  /// Wakes the rank if it sleeps. What it shall see must have been written before.
  void ring() const noexcept;
  /// False once it has left, told or untold, for whatever reason.
  bool takes_part() const { return state().presence.load() == kPresent; }
  bool is_dead() const { return is_dead_.load(std::memory_order_acquire); }
  void mark_dead() { is_dead_.store(true, std::memory_order_release); }

 private:
  int rank_;
  std::string host_;
  int pid_;
  Block block_;
  SharedFd bell_;
  SharedFd life_;
  SharedFd stacks_;
  int64_t stacks_begin_ = 0;
  std::atomic<bool> is_dead_{false};
};

/// One thread at a time waits; any thread rings.
class Waiter {
 public:
  /// `self` is this rank as its peers see it; `bell` its eventfd.
  Waiter(std::shared_ptr<Peer> self, SharedFd bell);

  /// Also wakes when `peer` dies, and marks it dead. Not while another thread waits.
  void watch(std::shared_ptr<Peer> peer);

  /// Announces sleep. The caller then looks once more for work and calls sleep() or cancel().
  void prepare() noexcept;
  void cancel() noexcept;
  /// Sleeps until rung, until a watched peer dies, a signal arrives (false) or `deadline` passes.
  bool sleep(Deadline deadline) noexcept;

  /// Wakes the sleeper, if any.
  void ring() const noexcept { self_->ring(); }

 private:
  std::shared_ptr<Peer> self_;
  SharedFd bell_;
  Fd epoll_;
  std::vector<std::shared_ptr<Peer>> watched_;
};

}  // namespace ringsync
