#pragma once

// The transport between ranks of one host: mailboxes and boards in shared blocks, windows into each
// other's registered memory, reach into private memory. `inproc` and `shm` differ only in the
// source of the blocks.

#include <atomic>
#include <string>
#include <vector>

#include "rendezvous/store.h"
#include "transport/pool.h"
#include "transport/stacks.h"
#include "transport/transport.h"

namespace ringsync {

class LocalTransport final : public Transport {
 public:
  /// Shows this rank to its peers and waits for theirs; `store` is not asked later. Throws
  /// RendezvousError at the deadline.
  LocalTransport(std::unique_ptr<BlockSource> source, Store& store, int rank, int size,
                 Deadline deadline);
  LocalTransport(const LocalTransport&) = delete;
  LocalTransport& operator=(const LocalTransport&) = delete;
  /// Leaves without a word, if it has not left.
  ~LocalTransport() override;

  std::unique_ptr<Offer> offer(const std::string& group, const std::vector<int>& ranks,
                               Room room) override;
  std::shared_ptr<std::byte> allocate(size_t bytes) override { return pool_->allocate(bytes); }
  Registration locate(ByteSpan bytes) const override { return pool_->locate(bytes); }
  bool can_reach() const override { return can_reach_; }
  Waiter& waiter() override { return *waiter_; }
  void leave(const std::string& cause, const LostPeer* lost) noexcept override;
  bool is_exposed() const override { return is_exposed_; }
  Testimony& testimony() override { return stacks_; }

 private:
  /// Known to nobody yet.
  LocalTransport(std::unique_ptr<BlockSource> source, int rank, int size);

  /// Returns the block that each peer is to see.
  Block introduce(Store& store);
  std::shared_ptr<Peer> meet(Store& store, int rank, SharedFd life, Deadline deadline);
  const std::shared_ptr<Peer>& peer(int rank) const { return peers_[static_cast<size_t>(rank)]; }

  std::unique_ptr<BlockSource> source_;
  const int rank_;
  const int pid_;                    // a forked child must not leave in the name of this process
  std::unique_ptr<uint64_t> token_;  // peers write it back where it lies, to try whether they can
  std::shared_ptr<Pool> pool_;
  SharedFd bell_;
  std::vector<std::shared_ptr<Peer>> peers_;  // by world rank; this rank's own entry included
  Stacks stacks_;
  std::unique_ptr<Waiter> waiter_;
  bool can_reach_ = true;
  std::atomic<bool> is_leaving_{false};
  std::atomic<bool> is_exposed_{false};
};

}  // namespace ringsync
