#include "transport/reach.h"

#include <span>

#include "base/error.h"
#include "base/futex.h"
#include "base/socket.h"

namespace ringsync {
namespace {

/// A piece is written within some 50 us; a writer that the scheduler has put aside has its turn
/// within this time, unless it was stopped.
constexpr double kWriterSeconds = 1.0;

uint32_t mark_of(const Peer& peer) { return static_cast<uint32_t>(peer.rank()) + 1; }

bool takes_part(const Peer& peer) { return peer.state().presence.load() == kPresent; }

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
    if (!takes_part(peer_)) futex_wake_all(word_, Sharing::kProcesses);
  }

 private:
  std::atomic<uint32_t>& word_;
  const Peer& peer_;
};

}  // namespace

bool can_reach(BlockSource& source, const Peer& peer) {
  const uint64_t expected = peer.state().own_address;
  uint64_t found = 0;
  const auto bytes = std::as_writable_bytes(std::span(&found, 1));
  try {
    return source.read(peer.pid(), expected, bytes) && found == expected &&
           source.write(peer.pid(), bytes, expected);
  } catch (const Error&) {
    return false;  // it is forbidden, or another process without such memory
  }
}

bool write_to(BlockSource& source, Peer& self, const Peer& peer, ByteSpan from, uint64_t address) {
  const WriteMark mark(self, peer);
  return takes_part(peer) && !has_ended(peer) && source.write(peer.pid(), from, address);
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
