#include "transport/reach.h"

#include "base/futex.h"
#include "base/socket.h"

namespace ringsync {
namespace {

/// A piece takes some 50 us to write (256 KiB at 5 to 10 GB/s). A writer that the scheduler has put
/// aside meanwhile has its turn within some milliseconds, with 64 ranks on a core within 0.2 s;
/// whoever takes longer was stopped.
constexpr double kWriterSeconds = 1.0;

uint32_t mark_of(const Peer& peer) { return static_cast<uint32_t>(peer.rank()) + 1; }

/// Asks the kernel: nobody may have slept, and so noticed, since it ended.
bool has_ended(const Peer& peer) {
  return peer.life() != nullptr && wait_readable(*peer.life(), Clock::now());
}

/// Shows, as long as it lives, that this rank writes into the memory of `peer`. Either the peer
/// sees it once it has withdrawn, or this rank sees that the peer has withdrawn.
class WriteMark {
 public:
  WriteMark(Peer& self, const Peer& peer) : word_(self.state().writes_to), peer_(peer) {
    word_.store(mark_of(peer));
  }
  WriteMark(const WriteMark&) = delete;
  WriteMark& operator=(const WriteMark&) = delete;
  ~WriteMark() {
    word_.store(0);
    if (!peer_.takes_part()) futex_wake_all(word_, Sharing::kProcesses);
  }

 private:
  std::atomic<uint32_t>& word_;
  const Peer& peer_;
};

}  // namespace

bool can_reach(BlockSource& source, Peer& self, const Peer& peer) {
  if (has_ended(peer)) return false;
  const WriteMark mark(self, peer);  // what is tried is a write like any other
  const RankState& shown = peer.state();
  return peer.takes_part() && source.can_reach(peer.pid(), shown.token_address, shown.token);
}

bool write_to(BlockSource& source, Peer& self, const Peer& peer, ByteSpan from, uint64_t address) {
  if (has_ended(peer)) return false;
  // A rank that is stopped between these two lines writes whenever it goes on: nothing else here.
  const WriteMark mark(self, peer);
  return peer.takes_part() && source.write(peer.pid(), from, address);
}

bool await_writers(const Peer& self, const std::vector<std::shared_ptr<Peer>>& peers) noexcept {
  const Deadline deadline = deadline_after(kWriterSeconds);
  for (const auto& peer : peers) {
    if (!peer || peer->rank() == self.rank()) continue;
    std::atomic<uint32_t>& word = peer->state().writes_to;
    while (word.load() == mark_of(self) && !has_ended(*peer)) {
      if (Clock::now() >= deadline) return false;
      futex_wait(word, mark_of(self), deadline, Sharing::kProcesses);
    }
  }
  return true;
}

}  // namespace ringsync
