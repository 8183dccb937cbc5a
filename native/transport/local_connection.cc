#include "transport/local_connection.h"

#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "transport/pool.h"
#include "transport/reach.h"

namespace ringsync {
namespace {}  // namespace

LocalConnection::LocalConnection(std::shared_ptr<Peer> self, std::shared_ptr<Peer> peer,
                                 BlockSource& source, Block inbox, Block outbox,
                                 MailboxReader reader, MailboxWriter writer)
    : self_(std::move(self)),
      peer_(std::move(peer)),
      source_(source),
      inbox_(std::move(inbox)),
      outbox_(std::move(outbox)),
      reader_(reader),
      writer_(writer) {}

void LocalConnection::commit() {
  writer_.commit();
  peer_->ring();
}

void LocalConnection::release() {
  reader_.release();
  peer_->ring();
}

MutableByteSpan LocalConnection::window(uint64_t id) {
  const auto found = windows_.find(id);
  if (found != windows_.end()) return found->second.bytes;
  // A rank shares its memory before it speaks of it: there is nothing to wait for.
  Block block = source_.fetch(peer_->rank(), memory_key(peer_->rank(), id), 1, Clock::now());
  return windows_.emplace(id, std::move(block)).first->second.bytes;
}

bool LocalConnection::read(uint64_t address, MutableByteSpan into) {
  // A rank that has given up may have let go of the memory before it was read.
  return unless_lost(
      [&] { return source_.read(peer_->pid(), address, into) && peer_->takes_part(); });
}

bool LocalConnection::write(ByteSpan from, uint64_t address) {
  return unless_lost([&] { return write_to(source_, *self_, *peer_, from, address); });
}

std::optional<LostPeer> LocalConnection::lost() const {
  const RankState& state = peer_->state();
  if (state.presence.load(std::memory_order_acquire) == kLeft) {
    const std::string cause(state.cause, ::strnlen(state.cause, sizeof(RankState::cause)));
    // All ranks of this transport are on one host.
    if (state.lost_rank >= 0)
      return LostPeer{state.lost_rank, peer_->host(), state.lost_pid, cause};
    return LostPeer{peer_->rank(), peer_->host(), peer_->pid(), cause};
  }
  if (!peer_->is_dead()) return std::nullopt;
  std::string cause = "its process has ended";
  if (state.has_last_words.load(std::memory_order_acquire) != 0) {
    cause += " with " + std::string(state.last_words,
                                    ::strnlen(state.last_words, sizeof(RankState::last_words)));
  }
  return LostPeer{peer_->rank(), peer_->host(), peer_->pid(), std::move(cause)};
}

/// A failure to reach a rank that is lost is no error: who needs it finds that out.
template <typename Copy>
bool LocalConnection::unless_lost(const Copy& copy) {
  try {
    return copy();
  } catch (const Error&) {
    if (!peer_->takes_part() || lost()) return false;
    throw;
  }
}

}  // namespace ringsync
